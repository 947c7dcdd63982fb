//! `holdfast usb allow`, `block` and `reject`.

use clap::Args;
use holdfast_ipc::usb::Usb1Proxy;
use serde::Serialize;

use super::arguments::{DeviceName, Span};
use super::failed;
use crate::service::Service;
use crate::{Code, Failure, cli};

/// How long the next device may take to come.
const TEN_MINUTES: &str = "10m";

const WHAT_IS_THERE: &str = "`holdfast usb list` shows what is there.";

/// Lets a device in.
#[derive(Debug, Args)]
pub(crate) struct Allow {
    /// Number, place (1-2.3), or vendor and product (0781:5583).
    #[arg(required_unless_present = "once", conflicts_with = "once")]
    device: Option<DeviceName>,
    /// Only for this long, as in 30s, 10m or 2h, at most 24h. With --once: how long the device may
    /// take to come [default: 10m].
    #[arg(long = "for", value_name = "TIME")]
    span: Option<Span>,
    /// The next device that comes and that the rules would not let in, whatever it is.
    #[arg(long)]
    once: bool,
    /// By a rule of the policy, so that the device is let in whenever it comes. Needs
    /// holdfast-admin.
    #[arg(long, conflicts_with_all = ["span", "once"])]
    permanent: bool,
}

/// Keeps a device out.
#[derive(Debug, Args)]
pub(crate) struct Refuse {
    /// Number, place (1-2.3), or vendor and product (0781:5583).
    device: DeviceName,
    /// By a rule of the policy, so that the device is kept out whenever it comes. Needs
    /// holdfast-admin.
    #[arg(long)]
    permanent: bool,
}

/// What was decided.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Decided<'a> {
    device: u32,
    target: &'a str,
    seconds: Option<u32>,
    rule: Option<u32>,
}

#[derive(Serialize)]
struct Awaited {
    seconds: u32,
}

pub(super) async fn allow(usb: &Usb1Proxy<'_>, allow: &Allow, json: bool) -> Result<Code, Failure> {
    match &allow.device {
        Some(device) => {
            let manner = Manner { target: "allow", span: allow.span, permanent: allow.permanent };
            decide(usb, device, manner, json).await
        }
        None => allow_next(usb, allow.span, json).await,
    }
}

pub(super) async fn refuse(
    usb: &Usb1Proxy<'_>,
    target: &'static str,
    refuse: &Refuse,
    json: bool,
) -> Result<Code, Failure> {
    let manner = Manner { target, span: None, permanent: refuse.permanent };
    decide(usb, &refuse.device, manner, json).await
}

#[derive(Clone, Copy)]
struct Manner {
    target: &'static str,
    span: Option<Span>,
    permanent: bool,
}

async fn decide(
    usb: &Usb1Proxy<'_>,
    device: &DeviceName,
    Manner { target, span, permanent }: Manner,
    json: bool,
) -> Result<Code, Failure> {
    let device = device.number(usb).await?;
    let seconds = span.map(Span::seconds);
    let answer = usb.decide(device, target, seconds.unwrap_or_default(), permanent).await;
    let rule = answer.map_err(|error| failed(error, WHAT_IS_THERE))?;
    let decided = Decided { device, target, seconds, rule: (rule != 0).then_some(rule) };
    if json {
        cli::print_json(&decided)?;
    } else {
        cli::print(&decided.line())?;
    }
    Ok(Code::Ok)
}

async fn allow_next(usb: &Usb1Proxy<'_>, span: Option<Span>, json: bool) -> Result<Code, Failure> {
    let span = match span {
        Some(span) => span,
        None => TEN_MINUTES.parse().map_err(|error| Failure::new(Code::Failed, error))?,
    };
    usb.allow_next(span.seconds()).await.map_err(|error| Service::USB.failure(error))?;
    if json {
        cli::print_json(&Awaited { seconds: span.seconds() })?;
    } else {
        cli::print(&format!("The next device that comes within {span} is let in."))?;
    }
    Ok(Code::Ok)
}

impl Decided<'_> {
    fn line(&self) -> String {
        let Self { device, target, seconds, rule } = self;
        match (seconds, rule) {
            (_, Some(rule)) => format!("Device {device}: {target}, by rule {rule} of the policy."),
            (Some(seconds), None) => {
                let span = crate::text::span((*seconds).into());
                format!("Device {device}: {target}, for {span} or until it goes.")
            }
            (None, None) => format!("Device {device}: {target}, until it goes."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_how_long_it_holds() {
        let decided = |seconds, rule| Decided { device: 7, target: "allow", seconds, rule };
        assert_eq!(decided(None, None).line(), "Device 7: allow, until it goes.");
        assert_eq!(
            decided(Some(600), None).line(),
            "Device 7: allow, for 10 minutes or until it goes."
        );
        assert_eq!(decided(None, Some(3)).line(), "Device 7: allow, by rule 3 of the policy.");
        assert!(TEN_MINUTES.parse::<Span>().is_ok());
    }
}
