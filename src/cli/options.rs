//! Flags that several commands share, and what they do to a configuration.

use std::net::IpAddr;

use serde_json::Value;

use crate::config::{dynamic, Config, LogFormat, NamespaceSeed, SearchAttributeKind};

#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Seeds {
    /// A namespace to make besides `default`. Repeatable.
    #[arg(long = "namespace", short = 'n', value_name = "NAME")]
    pub namespaces: Vec<String>,
    /// A custom search attribute of those namespaces: Text, Keyword, Int, Double, Bool, Datetime or KeywordList.
    /// Repeatable.
    #[arg(long = "search-attribute", value_name = "NAME=TYPE", value_parser = search_attribute)]
    pub search_attributes: Vec<(String, SearchAttributeKind)>,
}

#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Dynamic {
    /// A setting by Temporal's name (docs/config.md lists them); others are accepted with a warning. Repeatable.
    #[arg(long = "dynamic-config-value", value_name = "KEY=JSON", value_parser = dynamic::parse)]
    pub values: Vec<(String, Value)>,
}

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Logs {
    /// What to log: error, warn, info, debug, trace or never.
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    pub log_level: String,
    /// How to log it.
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

impl Seeds {
    pub(super) fn apply(&self, config: &mut Config) {
        for name in std::iter::once("default").chain(self.namespaces.iter().map(String::as_str)) {
            let namespaces = &mut config.bootstrap.namespaces;
            if !namespaces.iter().any(|seed| seed.name == name) {
                namespaces.push(NamespaceSeed::named(name));
            }
        }
        config.bootstrap.search_attributes.extend(self.search_attributes.iter().cloned());
    }
}

impl Dynamic {
    /// The answer are warnings, for when logging is set up.
    pub(super) fn apply(&self, config: &mut Config) -> anyhow::Result<Vec<String>> {
        let mut warnings = Vec::new();
        for (name, value) in &self.values {
            warnings.extend(dynamic::apply(config, name, value)?);
        }
        Ok(warnings)
    }
}

impl Logs {
    pub(super) fn apply(&self, config: &mut Config) {
        config.log.level.clone_from(&self.log_level);
        config.log.format = self.log_format;
    }
}

fn search_attribute(argument: &str) -> Result<(String, SearchAttributeKind), String> {
    let (name, kind) = argument.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("expected NAME=TYPE")?;
    let kind = SearchAttributeKind::named(kind)
        .ok_or_else(|| format!("`{kind}` is not one of Text, Keyword, Int, Double, Bool, Datetime, KeywordList"))?;
    Ok((name.into(), kind))
}

/// An address to listen on; `localhost` is the IPv4 one.
pub(super) fn ip(argument: &str) -> Result<IpAddr, String> {
    match argument {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => argument.parse().map_err(|_| format!("`{argument}` is not an IP address")),
    }
}
