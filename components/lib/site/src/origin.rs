//! Addresses of the connector.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

const SCHEME: &str = "https://";
const DEFAULT_PORT: u16 = 443;
/// Longest DNS name in text (RFC 1035, 2.3.4, less the root).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// `https://HOST[:PORT]` and nothing else: no user, no path, no query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsOrigin {
    text: String,
    host: String,
    port: u16,
}

impl HttpsOrigin {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// DNS name or IP address; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 443 if the text has none.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HttpsOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let authority = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| format!("{text:?} does not start with \"{SCHEME}\""))?;
        if authority.contains(['/', '?', '#', '@', '\\']) {
            return Err(format!(
                "{text:?} has more than host and port; expected https://HOST[:PORT]"
            ));
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, port) = rest
                .split_once(']')
                .ok_or_else(|| format!("{text:?} lacks the \"]\" after the IPv6 address"))?;
            host.parse::<Ipv6Addr>().map_err(|_| format!("{host:?} is no IPv6 address"))?;
            (host, port)
        } else {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            if !is_ipv4_or_name(host) {
                return Err(format!("{host:?} is neither a DNS name nor an IP address"));
            }
            (host, port)
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => DEFAULT_PORT,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse::<u16>()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("{digits:?} is no port; expected 1 to 65535"))?,
            _ => return Err(format!("{port:?} is no port; expected \":\" and 1 to 65535")),
        };
        Ok(Self { text: text.to_owned(), host: host.to_owned(), port })
    }
}

fn is_ipv4_or_name(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // "1.2.3" and "10.0.0.999" are mistyped addresses, not names: no top-level domain is a number.
    let numeric_end =
        host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    host.len() <= MAX_NAME && host.split('.').all(label) && !numeric_end
}

impl HttpsOrigin {
    /// The host as an address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for HttpsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
