//! The Edge ID that the device reads is the one that the cloud registered and certified.

use super::{Context, Finding, Outcome};
use crate::certificate::Chain;

pub(super) fn run(context: &Context<'_>) -> Finding {
    let own = &context.status.edge_id;
    let Some(chain) = &context.keys.chain else {
        return Finding::with(
            Outcome::Failed,
            "no certificate names the device yet",
            "`holdfast status` says how far the device is.",
        );
    };
    let certified = Chain::from_pem(chain).ok().and_then(|chain| chain.edge_id());
    match certified {
        Some(certified) if certified == *own => {
            Finding::ok(format!("The device is {own}, as registered."))
        }
        Some(certified) => Finding::with(
            Outcome::Failed,
            format!("the device calls itself {own}, the cloud registered it as {certified}"),
            "Its serial number or the source of the Edge ID changed: set it back, or register \
             the device under its new Edge ID.",
        ),
        None => Finding::with(
            Outcome::Failed,
            "the certificate names no Edge ID",
            "Look at the connector's release: it issued this certificate.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::certificate::samples;

    #[test]
    fn table() {
        Fixture::active().expect(run, Outcome::Ok, samples::EDGE_ID);
        let mut renamed = Fixture::active();
        renamed.status.edge_id = "SN-2".into();
        renamed.expect(run, Outcome::Failed, "SN-2");
        let mut nameless = Fixture::active();
        let chain = Chain::new(vec![samples::certificate("device-1", b"key")]).unwrap();
        nameless.keys.chain = Some(chain.to_pem().unwrap().into());
        nameless.expect(run, Outcome::Failed, "no Edge ID");
        let mut new = Fixture::active();
        new.keys.chain = None;
        new.expect(run, Outcome::Failed, "yet");
    }
}
