//! `holdfast-cloud device …`

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use time::format_description::well_known::Rfc3339;

use super::arguments::{self, Connection, DeviceName};
use super::output::{Output, moment, optional_moment, table};
use super::{Client, Exit, events};
use crate::management::types::{
    DeviceDetail, ImportedDevices, Items, MoveGroup, RebindDevice, RegisterDevice, RegisteredDevice,
};
use crate::registry::{Device, DeviceState, GroupName, Printable, StoredBootReport, Tenant};

/// Devices per request.
const PAGE: usize = 1000;

pub(super) async fn run(
    command: arguments::Device,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    use arguments::Device as Verb;
    let client = connection.client()?;
    match command {
        Verb::Register { edge_id, binding, enrol_within, tenant, approval, quote, group, note } => {
            let life = enrol_within.map(|days| time::Duration::days(days.into()));
            let body = RegisterDevice {
                tenant,
                edge_id,
                binding: binding.binding(),
                ek_sha256: binding.ek_sha256,
                not_after: life.map(|life| arguments::now() + life),
                approval: approval.map(Into::into),
                quote_mode: quote.map(Into::into),
                group,
                note,
            };
            let device: RegisteredDevice = client.post("/api/v1/devices", &body).await?;
            output.result(&device, registered)
        }
        Verb::Import { file, dry_run, tenant } => {
            let table = read_table(&file)?;
            let tenant = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
            let path = format!("/api/v1/devices/import?dry_run={dry_run}{tenant}");
            let imported: ImportedDevices = client.post_csv(&path, table).await?;
            if imported.secrets.is_empty() {
                return output.result(&imported, summary_of_import);
            }
            // Standard output is the table alone, to be kept or printed as labels.
            output.result(&imported, secrets)?;
            output.note(&summary_of_import(&imported));
            Ok(())
        }
        Verb::List { tenant, state, group } => {
            let devices = list(&client, tenant.as_ref(), state, group.as_ref()).await?;
            output.result(&devices, |devices| overview(&devices.items))
        }
        Verb::Pending { tenant } => {
            let state = Some(DeviceState::Pending);
            let devices = list(&client, tenant.as_ref(), state, None).await?;
            output.result(&devices, |devices| waiting(&devices.items))
        }
        Verb::Show(name) => {
            let detail: DeviceDetail = client.get(&path(&name, "")?).await?;
            output.result(&detail, show)
        }
        Verb::Approve(name) => change(&client, output, &name, "/approve", &()).await,
        Verb::Suspend(name) => change(&client, output, &name, "/suspend", &()).await,
        Verb::Resume(name) => change(&client, output, &name, "/resume", &()).await,
        Verb::Revoke(name) => change(&client, output, &name, "/revoke", &()).await,
        Verb::Retire(name) => change(&client, output, &name, "/retire", &()).await,
        Verb::ForgetFirmware(name) => change(&client, output, &name, "/forget-firmware", &()).await,
        Verb::Rebind { device, ek_sha256 } => {
            change(&client, output, &device, "/rebind", &RebindDevice { ek_sha256 }).await
        }
        Verb::MoveGroup { device, to, none: _ } => {
            change(&client, output, &device, "/move-group", &MoveGroup { group: to }).await
        }
    }
}

fn read_table(file: &Path) -> Result<Vec<u8>, Exit> {
    let read = if file == Path::new("-") {
        let mut table = Vec::new();
        std::io::stdin().lock().read_to_end(&mut table).map(|_| table)
    } else {
        std::fs::read(file)
    };
    read.map_err(|e| Exit::Usage(format!("cannot read {}: {e}", file.display())))
}

/// A table of what is to be carried to the devices.
fn secrets(imported: &ImportedDevices) -> String {
    let mut text = "edge_id,pairing_code,enrolment_secret,not_after".to_owned();
    for secret in &imported.secrets {
        let field = |value: &Option<String>| value.clone().unwrap_or_default();
        let (code, password) = (field(&secret.pairing_code), field(&secret.enrolment_secret));
        let until = secret.not_after.format(&Rfc3339).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{},{code},{password},{until}", secret.edge_id);
    }
    text
}

fn summary_of_import(imported: &ImportedDevices) -> String {
    let count = imported.registered;
    if imported.dry_run {
        format!("{count} devices could be registered; nothing was changed")
    } else {
        format!("{count} devices registered")
    }
}

async fn change(
    client: &Client,
    output: &Output,
    name: &DeviceName,
    verb: &str,
    body: &impl Serialize,
) -> Result<(), Exit> {
    let device: Device = client.post(&path(name, verb)?, body).await?;
    output.result(&device, summary)
}

async fn list(
    client: &Client,
    tenant: Option<&Tenant>,
    state: Option<DeviceState>,
    group: Option<&GroupName>,
) -> Result<Items<Device>, Exit> {
    let mut all = Vec::new();
    loop {
        let mut query = format!("?limit={PAGE}");
        // Writing to a String cannot fail.
        if let Some(tenant) = tenant {
            let _ = write!(query, "&tenant={tenant}");
        }
        if let Some(state) = state {
            let _ = write!(query, "&state={state}");
        }
        if let Some(group) = group {
            let _ = write!(query, "&group={group}");
        }
        if let Some(last) = all.last().map(|device: &Device| device.id) {
            let _ = write!(query, "&after={last}");
        }
        let page: Items<Device> = client.get(&format!("/api/v1/devices{query}")).await?;
        let is_last = page.items.len() < PAGE;
        all.extend(page.items);
        if is_last {
            return Ok(Items { items: all });
        }
    }
}

/// The path of a device; normalised here, so that nothing needs to be escaped in it.
pub(super) fn path(device: &DeviceName, verb: &str) -> Result<String, Exit> {
    let name = if uuid::Uuid::parse_str(&device.name).is_ok() {
        device.name.clone()
    } else {
        holdfast_attestation::edge_id::EdgeId::parse(&device.name)
            .map_err(|e| Exit::Usage(format!("neither device id nor Edge ID: {e}")))?
            .to_string()
    };
    let tenant = device.tenant.as_ref().map(|t| format!("?tenant={t}")).unwrap_or_default();
    Ok(format!("/api/v1/devices/{name}{verb}{tenant}"))
}

fn summary(device: &Device) -> String {
    format!("{}  {}  {}  {}", device.edge_id, device.state, device.tenant, device.id)
}

fn registered(registered: &RegisteredDevice) -> String {
    let RegisteredDevice { device, pairing_code, enrolment_secret } = registered;
    let mut text = summary(device);
    let until = optional_moment(device.not_after);
    // Writing to a String cannot fail.
    if let Some(code) = pairing_code {
        let _ = write!(text, "\npairing code  {code}\ngood until    {until}, for one TPM");
    }
    if let Some(secret) = enrolment_secret {
        let _ = write!(
            text,
            "\nuser        {}\npassword    {secret}\ngood until  {until}, for one certificate",
            device.edge_id
        );
    }
    text
}

fn waiting(devices: &[Device]) -> String {
    let rows: Vec<_> = devices
        .iter()
        .map(|device| {
            [
                device.edge_id.clone(),
                device.tenant.to_string(),
                moment(device.changed_at),
                device.binding.as_str().to_owned(),
                device.ek_sha256.map_or_else(|| "-".to_owned(), |ek| ek.to_string()),
            ]
        })
        .collect();
    table(["EDGE ID", "TENANT", "SINCE", "BINDING", "EK SHA-256"], &rows)
}

fn tpm(device: &Device) -> String {
    let note = if device.tpm_unproven { " (unproven)" } else { "" };
    device.ek_sha256.map_or_else(|| "none".to_owned(), |ek| format!("{ek}{note}"))
}

fn overview(devices: &[Device]) -> String {
    let rows: Vec<_> = devices
        .iter()
        .map(|device| {
            [
                device.edge_id.clone(),
                device.state.to_string(),
                device.tenant.to_string(),
                optional_moment(device.last_seen_at),
                device.id.to_string(),
            ]
        })
        .collect();
    table(["EDGE ID", "STATE", "TENANT", "LAST SEEN", "DEVICE ID"], &rows)
}

fn show(detail: &DeviceDetail) -> String {
    let DeviceDetail { device, boot, certificates, enrolments, events } = detail;
    let mut facts = vec![
        ["Edge ID", &device.edge_id].map(str::to_owned),
        ["state".to_owned(), device.state.to_string()],
        ["tenant".to_owned(), device.tenant.to_string()],
        ["device id".to_owned(), device.id.to_string()],
        ["binding".to_owned(), device.binding.as_str().to_owned()],
        ["EK SHA-256".to_owned(), tpm(device)],
        ["registered".to_owned(), by(device.registered_at, &device.registered_by)],
        ["changed".to_owned(), by(device.changed_at, &device.changed_by)],
        ["last seen".to_owned(), optional_moment(device.last_seen_at)],
        ["quote".to_owned(), quote(device)],
    ];
    if let Some(group) = &device.group {
        facts.push(["group".to_owned(), group.to_string()]);
    }
    if let Some(not_after) = device.not_after {
        facts.push(["enrol by".to_owned(), moment(not_after)]);
    }
    if let Some(pcr7) = device.pcr7 {
        facts.push(["PCR 7".to_owned(), pcr7.to_string()]);
    }
    if let Some(enrolment) = enrolments.first() {
        let release = enrolment.release.clone().unwrap_or_else(|| "unknown".to_owned());
        facts.push(["booted".to_owned(), release]);
        if let Some(deviation) = &enrolment.deviation {
            facts.push(["deviation".to_owned(), deviation.clone()]);
        }
    }
    facts.extend(boot.iter().flat_map(reported));
    if let Some(note) = &device.note {
        facts.push(["note".to_owned(), note.clone()]);
    }
    let mut text = String::new();
    for [name, value] in &facts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    }
    if !certificates.is_empty() {
        let rows: Vec<_> = certificates
            .iter()
            .map(|certificate| {
                let ends = certificate.accepted_until.unwrap_or(certificate.not_after);
                let revoked = optional_moment(certificate.revoked_at);
                [certificate.serial.to_string(), moment(ends), revoked]
            })
            .collect();
        let _ = write!(text, "\n{}\n", table(["CERTIFICATE", "ACCEPTED UNTIL", "REVOKED"], &rows));
    }
    if !events.is_empty() {
        let _ = write!(text, "\n{}\n", events::overview(events));
    }
    text
}

/// What a device says of its boot; what it booted by its quote stands beside it.
fn reported(boot: &StoredBootReport) -> Vec<[String; 2]> {
    let StoredBootReport { report, received_at } = boot;
    let (release, kernel) = (report.release.as_str(), report.kernel.as_str());
    let boot_id = report.boot_id.as_str();
    let said = format!("{release}, kernel {kernel}, boot {boot_id}, {}", moment(*received_at));
    let mut facts = vec![["reported".to_owned(), said]];
    let firmware = &report.firmware;
    let parts = [&firmware.vendor, &firmware.version, &firmware.date];
    let parts: Vec<&str> = parts.into_iter().flatten().map(Printable::as_str).collect();
    if !parts.is_empty() {
        facts.push(["firmware".to_owned(), parts.join(", ")]);
    }
    if let Some(loader) = &report.boot_loader {
        facts.push(["boot loader".to_owned(), loader.as_str().to_owned()]);
    }
    let tpm = [&report.tpm.manufacturer, &report.tpm.vendor, &report.tpm.firmware];
    facts.push(["TPM".to_owned(), tpm.map(Printable::as_str).join(", ")]);
    facts
}

/// What an unknown quote leads to, and who says so.
fn quote(device: &Device) -> String {
    let said_by = match (device.quote_mode, &device.group) {
        (Some(_), _) => "the device's own".to_owned(),
        (None, Some(group)) => format!("of group {group}"),
        (None, None) => "default".to_owned(),
    };
    format!("{} ({said_by})", device.quote_policy.as_str())
}

fn by(at: time::OffsetDateTime, who: &str) -> String {
    format!("{} by {who}", moment(at))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_boot_is_shown_with_what_the_device_told_of_it() {
        let mut boot = serde_json::json!({
            "boot_id": "0123456789abcdef0123456789abcdef",
            "release": "0.1.0",
            "kernel": "6.12.48",
            "firmware": { "vendor": "EDK II", "date": "02/02/2025" },
            "boot_loader": "systemd-boot 257",
            "tpm": { "manufacturer": "IBM", "vendor": "SW TPM", "firmware": "8217.4131" },
            "received_at": "2026-11-25T20:31:07Z",
        });
        let shown = |boot: &serde_json::Value| -> Vec<String> {
            let facts = super::reported(&serde_json::from_value(boot.clone()).unwrap());
            facts.into_iter().map(|[name, value]| format!("{name}: {value}")).collect()
        };
        let said = "0.1.0, kernel 6.12.48, boot 0123456789abcdef0123456789abcdef, \
                    2026-11-25 20:31:07";
        let reported = format!("reported: {said}");
        let expected = [
            reported.as_str(),
            "firmware: EDK II, 02/02/2025",
            "boot loader: systemd-boot 257",
            "TPM: IBM, SW TPM, 8217.4131",
        ];
        assert_eq!(shown(&boot), expected);
        boot["firmware"] = serde_json::json!({});
        boot["boot_loader"] = serde_json::Value::Null;
        assert_eq!(shown(&boot), [expected[0], expected[3]]);
    }
}
