//! How devices and times are named on the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use holdfast_ipc::usb::{DeviceReport, LONGEST, Usb1Proxy};

use super::report;
use crate::{Code, Failure};

/// A device that is there, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    /// Its number.
    Number(u32),
    /// Name of its folder in sysfs.
    Sysfs(String),
    /// Vendor and product, in lower case.
    UsbId(String),
}

impl FromStr for DeviceName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_hex4 = |text: &str| text.len() == 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let is_place =
            |(bus, ports): (&str, &str)| is_number(bus) && ports.split('.').all(is_number);
        if is_number(text) {
            text.parse().map(Self::Number).map_err(|_| "no device has so high a number")
        } else if text.split_once(':').is_some_and(|(vid, pid)| is_hex4(vid) && is_hex4(pid)) {
            Ok(Self::UsbId(text.to_ascii_lowercase()))
        } else if text.split_once('-').is_some_and(is_place)
            || text.strip_prefix("usb").is_some_and(is_number)
        {
            Ok(Self::Sysfs(text.to_owned()))
        } else {
            Err("expected a number of `holdfast usb list`, a place as in 1-2.3, or vendor and \
                 product as in 0781:5583")
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "device {number}"),
            Self::Sysfs(name) | Self::UsbId(name) => f.write_str(name),
        }
    }
}

impl DeviceName {
    /// The number of the device. It is never given to another one, so that what is decided by it is
    /// decided about the device that was found here.
    pub(super) async fn number(&self, usb: &Usb1Proxy<'_>) -> Result<u32, Failure> {
        match self {
            Self::Number(number) => Ok(*number),
            _ => self.among(&report::<Vec<DeviceReport>>(usb.list_devices().await)?),
        }
    }

    fn among(&self, devices: &[DeviceReport]) -> Result<u32, Failure> {
        let is_meant = |device: &&DeviceReport| match self {
            Self::Number(number) => device.id == *number,
            Self::Sysfs(name) => device.device == *name,
            Self::UsbId(id) => device.usb_id.eq_ignore_ascii_case(id),
        };
        let meant: Vec<_> = devices.iter().filter(is_meant).collect();
        match meant[..] {
            [device] => Ok(device.id),
            [] => Err(Failure::new(Code::Failed, format!("{self} is not there"))
                .advise("`holdfast usb list` shows what is there.")),
            _ => {
                let all = meant.iter().map(|device| format!("{} ({})", device.id, device.device));
                let all = all.collect::<Vec<_>>().join(", ");
                Err(Failure::new(Code::Failed, format!("{self} is there more than once: {all}"))
                    .advise("Name the one that is meant by its number."))
            }
        }
    }
}

/// A length of time from a second to a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(u32);

impl Span {
    /// In seconds.
    pub(crate) const fn seconds(self) -> u32 {
        self.0
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected a time from 1s to 24h, as in 30s, 10m or 2h";
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(FORM)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(FORM),
        };
        // `parse` would take a plus sign.
        let number = Some(number).filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
        let number: u32 = number.and_then(|number| number.parse().ok()).ok_or(FORM)?;
        let seconds = number.checked_mul(unit).ok_or(FORM)?;
        let is_in_range = seconds != 0 && Duration::from_secs(seconds.into()) <= LONGEST;
        if is_in_range { Ok(Self(seconds)) } else { Err(FORM) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::span(self.0.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{keyboard, stick};
    use super::*;

    #[test]
    fn a_device_has_three_names() {
        let table = [
            ("7", DeviceName::Number(7)),
            ("1-2.3", DeviceName::Sysfs("1-2.3".into())),
            ("10-1", DeviceName::Sysfs("10-1".into())),
            ("usb1", DeviceName::Sysfs("usb1".into())),
            ("0781:5583", DeviceName::UsbId("0781:5583".into())),
            ("046D:C31C", DeviceName::UsbId("046d:c31c".into())),
        ];
        for (text, name) in table {
            assert_eq!(text.parse(), Ok(name), "{text}");
        }
        for text in
            ["", "-1", "+1", "1-", "1-2.", "1-2..3", "1-x", "usb", "781:5583", "0781:*", "a b"]
        {
            assert!(text.parse::<DeviceName>().is_err(), "{text}");
        }
        assert!("4294967296".parse::<DeviceName>().is_err());
    }

    #[test]
    fn a_name_means_one_device_or_none() {
        let devices = [keyboard(), stick()];
        let number = |name: &str| name.parse::<DeviceName>().unwrap().among(&devices);
        assert_eq!(number("1-2.3"), Ok(7));
        assert_eq!(number("0781:5583"), Ok(7));
        assert_eq!(number("046D:C31C"), Ok(4));
        let gone = number("1-9").unwrap_err();
        assert_eq!(gone.text, "1-9 is not there");
        assert!(gone.advice.unwrap().contains("holdfast usb list"));

        let twin = DeviceReport { id: 9, device: "1-4".into(), ..stick() };
        let name: DeviceName = "0781:5583".parse().unwrap();
        let twice = name.among(&[stick(), twin]).unwrap_err();
        assert_eq!(twice.text, "0781:5583 is there more than once: 7 (1-2.3), 9 (1-4)");
    }

    #[test]
    fn times() {
        for (text, seconds) in [("1s", 1), ("30s", 30), ("10m", 600), ("2h", 7200), ("24h", 86400)]
        {
            assert_eq!(text.parse(), Ok(Span(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "0s",
            "10",
            "25h",
            "86401s",
            "+5m",
            "-5m",
            "5 m",
            "1d",
            "4294967296s",
            "\u{e9}",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
