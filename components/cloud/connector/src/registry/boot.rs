//! What a device says of its boot.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

const TEXT_LIMIT: usize = 128;

/// Up to 128 printable ASCII characters: what is shown on an operator's terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Printable(String);

/// A text may not be shown.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a text of up to {TEXT_LIMIT} printable ASCII characters")]
pub struct PrintableError(String);

impl Printable {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Printable {
    type Error = PrintableError;
    fn try_from(text: String) -> Result<Self, PrintableError> {
        if text.len() <= TEXT_LIMIT && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            Ok(Self(text))
        } else {
            Err(PrintableError(text.chars().take(40).collect()))
        }
    }
}

impl From<Printable> for String {
    fn from(text: Printable) -> Self {
        text.0
    }
}

/// The kernel's name of a boot, another one each time: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(String);

/// A text is not a boot's name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a boot id: expected 32 lower-case hexadecimal digits")]
pub struct BootIdError(String);

impl BootId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BootId {
    type Error = BootIdError;
    fn try_from(text: String) -> Result<Self, BootIdError> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 32 && text.bytes().all(is_digit) {
            Ok(Self(text))
        } else {
            Err(BootIdError(text.chars().take(40).collect()))
        }
    }
}

impl From<BootId> for String {
    fn from(id: BootId) -> Self {
        id.0
    }
}

/// A boot, as the device tells it. Unlike what it quotes, none of this is proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootReport {
    /// Which boot.
    pub boot_id: BootId,
    /// Version of the image.
    pub release: Printable,
    /// Version of the kernel.
    pub kernel: Printable,
    /// The firmware, as far as it tells.
    #[serde(default, deserialize_with = "object")]
    pub firmware: Firmware,
    /// Name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_loader: Option<Printable>,
    /// The TPM.
    #[serde(deserialize_with = "object")]
    pub tpm: TpmVersion,
}

/// An object and nothing else: serde takes a list of the fields for one as well.
fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(input: D) -> Result<T, D::Error> {
    let object = Map::<String, Value>::deserialize(input)?;
    T::deserialize(Value::Object(object)).map_err(D::Error::custom)
}

/// What SMBIOS says of the firmware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// Its maker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Printable>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Printable>,
    /// Its release date, in the maker's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Printable>,
}

/// What the TPM says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmVersion {
    /// Its maker.
    pub manufacturer: Printable,
    /// Its maker's words.
    pub vendor: Printable,
    /// Version of its firmware.
    pub firmware: Printable,
}

/// The last report of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBootReport {
    /// What it said.
    #[serde(flatten)]
    pub report: BootReport,
    /// When the server heard it first.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
}

impl BootReport {
    /// How firmware and TPM differ from those of an earlier report, for the operator.
    pub fn changes_since(&self, earlier: &Self) -> Option<String> {
        let text =
            |text: &Option<Printable>| text.as_ref().map(Printable::as_str).map(str::to_owned);
        let parts = |report: &Self| {
            let (firmware, tpm) = (&report.firmware, &report.tpm);
            [
                ("firmware vendor", text(&firmware.vendor)),
                ("firmware version", text(&firmware.version)),
                ("firmware date", text(&firmware.date)),
                ("TPM manufacturer", Some(tpm.manufacturer.as_str().to_owned())),
                ("TPM vendor", Some(tpm.vendor.as_str().to_owned())),
                ("TPM firmware", Some(tpm.firmware.as_str().to_owned())),
            ]
        };
        let shown = |text: Option<String>| {
            text.map_or_else(|| "unknown".to_owned(), |text| format!("{text:?}"))
        };
        let changes: Vec<String> = parts(earlier)
            .into_iter()
            .zip(parts(self))
            .filter(|(before, now)| before != now)
            .map(|((name, before), (_, now))| {
                format!("{name}: {} -> {}", shown(before), shown(now))
            })
            .collect();
        (!changes.is_empty()).then(|| changes.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        json!({
            "boot_id": "0123456789abcdef0123456789abcdef",
            "release": "0.1.0",
            "kernel": "6.12.48",
            "firmware": { "vendor": "EDK II", "version": "2025.02", "date": "02/02/2025" },
            "boot_loader": "systemd-boot 257",
            "tpm": { "manufacturer": "IBM", "vendor": "SW TPM", "firmware": "8217.4131" },
        })
    }

    fn parse(value: &Value) -> Result<BootReport, String> {
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_report_is_printed_as_it_was_read() {
        assert_eq!(serde_json::to_value(parse(&report()).unwrap()).unwrap(), report());
    }

    #[test]
    fn what_is_missing_unknown_too_long_or_not_printable_is_refused() {
        let long = "x".repeat(129);
        for (pointer, value, part) in [
            ("/boot_id", json!("0123456789ABCDEF0123456789ABCDEF"), "not a boot id"),
            ("/boot_id", json!("0123"), "not a boot id"),
            ("/boot_id", Value::Null, "null"),
            ("/release", json!(1), "integer"),
            ("/kernel", json!(long), "printable"),
            ("/kernel", json!("6.12\u{1b}[2J"), "printable"),
            ("/firmware/vendor", json!("Mäker"), "printable"),
            ("/firmware", json!({ "colour": "red" }), "colour"),
            ("/firmware", json!([null, null, null]), "expected a map"),
            ("/tpm", json!(["IBM", "SW TPM", "8217.4131"]), "expected a map"),
            ("/tpm", json!({ "manufacturer": "IBM", "vendor": "SW" }), "firmware"),
            ("/tpm/firmware", json!("a\nb"), "printable"),
        ] {
            let mut bad = report();
            *bad.pointer_mut(pointer).unwrap() = value.clone();
            let error = parse(&bad).unwrap_err();
            assert!(error.contains(part), "{pointer} {value}: {error}");
        }
        let mut bad = report();
        bad["more"] = json!(1);
        assert!(parse(&bad).unwrap_err().contains("unknown field"));
        for missing in ["boot_id", "release", "kernel", "tpm"] {
            let mut bad = report();
            bad.as_object_mut().unwrap().remove(missing);
            assert!(parse(&bad).unwrap_err().contains(missing));
        }
        for optional in ["firmware", "boot_loader"] {
            let mut good = report();
            good.as_object_mut().unwrap().remove(optional);
            parse(&good).unwrap();
        }
    }

    #[test]
    fn changes_name_the_part_with_both_values() {
        let before = parse(&report()).unwrap();
        for (pointer, value, expected) in [
            ("/boot_id", json!("f".repeat(32)), None),
            ("/release", json!("0.2.0"), None),
            ("/kernel", json!("6.13"), None),
            ("/boot_loader", Value::Null, None),
            (
                "/firmware/version",
                json!("2025.05"),
                Some("firmware version: \"2025.02\" -> \"2025.05\""),
            ),
            ("/firmware/date", Value::Null, Some("firmware date: \"02/02/2025\" -> unknown")),
            (
                "/tpm/firmware",
                json!("8217.4132"),
                Some("TPM firmware: \"8217.4131\" -> \"8217.4132\""),
            ),
        ] {
            let mut after = report();
            *after.pointer_mut(pointer).unwrap() = value;
            let changes = parse(&after).unwrap().changes_since(&before);
            assert_eq!(changes.as_deref(), expected, "{pointer}");
        }
        let mut after = report();
        after["firmware"] =
            json!({ "vendor": "EDK II", "version": "2025.05", "date": "05/05/2025" });
        let changes = parse(&after).unwrap().changes_since(&before).unwrap();
        assert_eq!(changes.matches(" -> ").count(), 2, "{changes}");
    }
}
