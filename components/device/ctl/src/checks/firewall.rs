//! The packet filter is loaded.

use super::{Context, Finding};

/// Left by the unit that loaded the table `inet holdfast`.
const LOADED: &str = "run/holdfast/firewall";

pub(super) fn run(context: &Context) -> Finding {
    const ADVICE: &str = "See systemctl status nftables; until it is loaded every open port of \
                          this device can be reached.";
    if context.exists(LOADED) {
        return Finding::ok("The packet filter is loaded.");
    }
    match &context.units {
        Ok(units) if units.nftables == "active" => Finding::ok("The packet filter is loaded."),
        Ok(units) if units.nftables.is_empty() => {
            Finding::failed("there is no nftables.service", ADVICE)
        }
        Ok(units) => Finding::failed(
            format!("nftables.service is {}, so no packet filter is loaded", units.nftables),
            ADVICE,
        ),
        Err(error) => Finding::warning(
            format!("it cannot be told whether a filter is loaded: {error}"),
            ADVICE,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;
    use crate::bus::Units;

    #[test]
    fn table() {
        let units = |state: &str| Units { nftables: state.into(), ..Units::default() };
        Fixture::new().units(units("active")).expect(run, Ok, "loaded");
        Fixture::new().units(units("failed")).expect(run, Failed, "is failed");
        Fixture::new().units(units("")).expect(run, Failed, "no nftables");
        Fixture::new().expect(run, Warning, "no systemd");
        Fixture::new().file(LOADED, "").expect(run, Ok, "loaded");
    }
}
