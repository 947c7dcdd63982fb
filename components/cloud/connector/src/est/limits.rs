//! How often may be asked. Limits count per address, and per address and TPM, so that a stranger
//! elsewhere cannot lock a device out by using its names.

use std::net::IpAddr;

use time::OffsetDateTime;

use crate::registry::Digest;
use crate::tls::{Rate, TokenBuckets, TooMany};

/// Addresses and TPMs told apart.
const CAPACITY: usize = 65_536;

/// Rates of the enrolment listener.
#[derive(Clone, Copy, Debug)]
pub struct EnrolmentRates {
    /// Nonces per address; a whole site may sit behind one.
    pub source: Rate,
    /// Nonces per address and TPM.
    pub device: Rate,
}

impl Default for EnrolmentRates {
    fn default() -> Self {
        Self {
            source: Rate { burst: 120, per_minute: 600 },
            device: Rate { burst: 12, per_minute: 12 },
        }
    }
}

/// The buckets.
pub struct Limits {
    sources: TokenBuckets<IpAddr>,
    devices: TokenBuckets<(IpAddr, Digest)>,
}

impl Limits {
    /// Empty buckets.
    pub fn new(rates: EnrolmentRates) -> Self {
        Self {
            sources: TokenBuckets::new(rates.source, CAPACITY),
            devices: TokenBuckets::new(rates.device, CAPACITY),
        }
    }

    /// A request of an address, before anything is parsed.
    pub fn take_source(&self, source: IpAddr, now: OffsetDateTime) -> Result<(), TooMany> {
        self.sources.take(network(source), now)
    }

    /// A request of a TPM.
    pub fn take_device(
        &self,
        source: IpAddr,
        ek_sha256: Digest,
        now: OffsetDateTime,
    ) -> Result<(), TooMany> {
        self.devices.take((network(source), ek_sha256), now)
    }
}

/// One customer has a /64 of IPv6 at least (RFC 6177): counting addresses would count nothing.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_ipv6_network_counts_as_one_source() {
        let network = |text: &str| super::network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8::1:2:3:4"), network("2001:db8::4:3:2:1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_eq!(network("::ffff:10.0.0.7"), "10.0.0.7");
        assert_ne!(network("10.0.0.7"), network("10.0.0.8"));
    }
}
