//! The parts of an address that its check needs, and what Go's `net/url` says of one that is none: Temporal's texts hold
//! that library's words.

/// Scheme in small letters, and host with its port as they stand in the address.
pub struct Url<'u> {
    pub scheme: String,
    pub host: &'u str,
}

pub fn parse(given: &str) -> Result<Url<'_>, String> {
    parts(given).map_err(|why| format!("parse {given:?}: {why}"))
}

fn parts(given: &str) -> Result<Url<'_>, String> {
    if given.chars().any(|letter| letter.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".into());
    }
    let without_fragment = given.split('#').next().unwrap_or_default();
    let (scheme, rest) = scheme(without_fragment)?;
    let rest = rest.split('?').next().unwrap_or_default();
    let Some(after) = rest.strip_prefix("//").filter(|_| !scheme.is_empty() || !rest.starts_with("///")) else {
        let first = rest.split('/').next().unwrap_or_default();
        if scheme.is_empty() && first.contains(':') {
            return Err("first path segment in URL cannot contain colon".into());
        }
        escapes(rest)?;
        return Ok(Url { scheme, host: "" });
    };
    let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    check_host(host)?;
    escapes(path)?;
    Ok(Url { scheme, host })
}

fn scheme(text: &str) -> Result<(String, &str), String> {
    for (at, letter) in text.char_indices() {
        match letter {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".into()),
            ':' => return Ok((text[..at].to_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(inner) => {
            let end = inner.rfind(']').ok_or("missing ']' in host")?;
            (&inner[..end], &inner[end + 1..])
        }
        None => host.split_at(host.rfind(':').unwrap_or(host.len())),
    };
    let is_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if !is_port {
        return Err(format!("invalid port {port:?} after host"));
    }
    let allowed = |letter: char| {
        !letter.is_ascii() || letter.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(letter)
    };
    match name.chars().find(|letter| !allowed(*letter)) {
        Some(letter) => Err(format!("invalid character {:?} in host name", letter.to_string())),
        None => escapes(name),
    }
}

/// Every `%` begins an escape.
fn escapes(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('%') {
        let escape: String = text[at..].chars().take(3).collect();
        let fine = escape.len() == 3 && escape[1..].bytes().all(|byte| byte.is_ascii_hexdigit());
        if !fine {
            return Err(format!("invalid URL escape {escape:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(given: &str) -> String {
        match parse(given) {
            Ok(url) => format!("{} {}", url.scheme, url.host),
            Err(why) => why,
        }
    }

    #[test]
    fn parts_of_addresses() {
        assert_eq!(shown("HTTP://a.example.com:80/x?y=%zz"), "http a.example.com:80");
        assert_eq!(shown("https://me:secret@host/x"), "https host");
        assert_eq!(shown("http://[::1]:80"), "http [::1]:80");
        assert_eq!(shown("http://"), "http ");
        assert_eq!(shown("localhost/x"), " ");
        assert_eq!(shown("localhost:80/x"), "localhost ");
    }

    #[test]
    fn what_is_none() {
        assert_eq!(shown("http://a b/%zz"), "parse \"http://a b/%zz\": invalid character \" \" in host name");
        assert_eq!(shown("http://a/%zz"), "parse \"http://a/%zz\": invalid URL escape \"%zz\"");
        assert_eq!(shown("http://a:x/"), "parse \"http://a:x/\": invalid port \":x\" after host");
        assert_eq!(shown(":80"), "parse \":80\": missing protocol scheme");
        assert_eq!(shown("1.2.3.4:80"), "parse \"1.2.3.4:80\": first path segment in URL cannot contain colon");
    }
}
