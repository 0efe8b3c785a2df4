//! HTML under construction. Markup is what stands in our source; everything else is escaped.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};

#[derive(Debug, Default)]
pub(super) struct Html {
    markup: String,
}

impl Html {
    /// Markup from our own source, which is why it must be static.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.markup.push_str(markup);
        self
    }

    /// Anything else, in element content or in a quoted attribute.
    pub(super) fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        escape(text.as_ref(), &mut self.markup);
        self
    }

    pub(super) fn number(&mut self, number: impl Into<i128>) -> &mut Self {
        let _ = write!(self.markup, "{}", number.into());
        self
    }

    /// `<a href="path">text</a>`; the path's parts are encoded.
    pub(super) fn link(&mut self, link: &Link, text: &str) -> &mut Self {
        self.raw("<a href=\"").text(&link.path).raw("\">").text(text).raw("</a>")
    }

    pub(super) fn append(&mut self, other: Self) -> &mut Self {
        self.markup.push_str(&other.markup);
        self
    }

    #[cfg(test)]
    pub(super) fn as_str(&self) -> &str {
        &self.markup
    }
}

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        axum::response::Html(self.markup).into_response()
    }
}

/// A path on this server.
#[derive(Debug, Clone)]
pub(super) struct Link {
    path: String,
}

impl Link {
    pub(super) fn to(segments: &[&str]) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            encode(segment, &mut path);
        }
        Self { path }
    }

    /// Empty values are left out.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.path.push(if self.path.contains('?') { '&' } else { '?' });
            self.path.push_str(name);
            self.path.push('=');
            encode(value, &mut self.path);
        }
        self
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// Safe in element content and in quoted attributes. Control characters and those that reorder text are made visible.
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            '`' => into.push_str("&#96;"),
            '\n' | '\t' => into.push(character),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => into.push(char::REPLACEMENT_CHARACTER),
            _ if character.is_control() => into.push(char::REPLACEMENT_CHARACTER),
            _ => into.push(character),
        }
    }
}

/// Percent-encodes all but letters, digits and `-_~`. Dots too: a segment of dots only would leave its folder.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 12] = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</title><svg/onload=alert(1)>",
        "javascript:alert(1)",
        "<!--<script>-->",
        "]]><script>",
        "&lt;script&gt;",
        "`onclick=alert(1)`",
        "\u{0}<\u{0}script>",
        "<\u{202e}tpircs>",
        "\u{ff1c}script\u{ff1e}",
    ];

    #[test]
    fn nothing_hostile_leaves_its_place() {
        for text in HOSTILE {
            let mut html = Html::default();
            html.text(text);
            let markup = html.as_str();
            for character in ['<', '>', '"', '\'', '`', '\u{0}', '\u{202e}'] {
                assert!(!markup.contains(character), "{text:?} gave {markup:?}");
            }
        }
    }

    #[test]
    fn links_have_only_safe_characters() {
        for text in HOSTILE.into_iter().chain(["..", "a/b", "ä?#"]) {
            let path = Link::to(&["namespaces", text, "workflows"]).with("query", text).path;
            assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~%/?=".contains(&byte)), "{path}");
            assert_eq!(path.matches('/').count(), 3, "{path}");
        }
        assert_eq!(Link::to(&["a b"]).with("x", "").with("y", "1").path, "/a%20b?y=1");
    }
}
