//! `holdfast-cloud usb …`

use std::path::Path;

use holdfast_audit_log::Text;

use super::Exit;
use super::arguments::{self, Connection, DeviceName, UsbOwner};
use super::device;
use super::output::{Output, moment, table};
use crate::files;
use crate::management::types::{Items, SetUsbPolicy};
use crate::usb::{DeviceUsbPolicy, TextChange, UsbContent, UsbDevice, UsbPolicy};

pub(super) async fn run(
    command: arguments::Usb,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    match command {
        arguments::Usb::Policy(command) => policy(command, connection, output).await,
        arguments::Usb::List(device) => {
            let path = device::path(&device, "/usb")?;
            let devices: Items<UsbDevice> = connection.client()?.get(&path).await?;
            output.result(&devices, |devices| overview(&devices.items))
        }
    }
}

async fn policy(
    command: arguments::UsbPolicy,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    use arguments::UsbPolicy as Verb;
    let (owner, change) = match command {
        Verb::Show { owner } => return show(&owner, connection, output).await,
        Verb::Set { owner, rules, ports } => {
            let (rules, ports) = (text(rules.as_deref())?, text(ports.as_deref())?);
            (owner, SetUsbPolicy { rules, ports })
        }
        Verb::Clear { owner, rules, ports } => {
            let clear = |is_named: bool, is_other_named: bool| {
                if is_named || !is_other_named { TextChange::Clear } else { TextChange::Keep }
            };
            let change = SetUsbPolicy { rules: clear(rules, ports), ports: clear(ports, rules) };
            (owner, change)
        }
    };
    let (path, name) = path(&owner)?;
    let policy: UsbPolicy = connection.client()?.post(&path, &change).await?;
    output.result(&policy, |policy| format!("{name}  {}", summary(policy)))
}

async fn show(owner: &UsbOwner, connection: &Connection, output: &Output) -> Result<(), Exit> {
    let (path, _) = path(owner)?;
    let client = connection.client()?;
    if owner.group.is_some() {
        let policy: UsbPolicy = client.get(&path).await?;
        return output
            .result(&policy, |policy| format!("{}\n{}", summary(policy), texts(&policy.content)));
    }
    let policy: DeviceUsbPolicy = client.get(&path).await?;
    output.result(&policy, of_device)
}

/// The path of what is said of a group or a device, and who that is.
fn path(owner: &UsbOwner) -> Result<(String, String), Exit> {
    let UsbOwner { group, device, tenant } = owner;
    if let Some(group) = group {
        let query = tenant.as_ref().map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
        return Ok((format!("/api/v1/groups/{group}/usb-policy{query}"), group.to_string()));
    }
    let name = device.clone().unwrap_or_default();
    let named = DeviceName { name: name.clone(), tenant: tenant.clone() };
    Ok((device::path(&named, "/usb-policy")?, name))
}

fn text(path: Option<&Path>) -> Result<TextChange, Exit> {
    let Some(path) = path else { return Ok(TextChange::Keep) };
    let bytes = files::read(path).map_err(|e| Exit::Failed(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let what = "is not UTF-8; in rules \\xHH stands for other bytes";
        Exit::Failed(format!("{} {what}", path.display()))
    })?;
    Ok(TextChange::Set(text))
}

fn summary(policy: &UsbPolicy) -> String {
    let UsbPolicy { content, version, changed_at, changed_by } = policy;
    let said = match (&content.rules, &content.ports) {
        (Some(_), Some(_)) => "rules and ports",
        (Some(_), None) => "rules",
        (None, Some(_)) => "ports",
        (None, None) => "nothing",
    };
    format!("version {version}  {said}  {} by {changed_by}", moment(*changed_at))
}

fn texts(content: &UsbContent) -> String {
    let shown = |name: &str, text: &Option<String>| match text {
        Some(text) => format!("\n{name}:\n{}\n", text.trim_end()),
        None => format!("\n{name}: nothing is said\n"),
    };
    shown("rules", &content.rules) + &shown("ports", &content.ports)
}

fn of_device(policy: &DeviceUsbPolicy) -> String {
    let said = |policy: &Option<UsbPolicy>| policy.as_ref().map_or("-".to_owned(), summary);
    let told = policy.told.as_ref().map_or("-".to_owned(), |told| {
        let state = if policy.is_told() { "" } else { "  (there is something newer to be told)" };
        format!("version {}  {}{state}", told.version, moment(told.issued_at))
    });
    format!(
        "own    {}\ngroup  {}\ntold   {told}\n{}",
        said(&policy.own),
        said(&policy.group),
        texts(&policy.effective)
    )
}

fn overview(devices: &[UsbDevice]) -> String {
    // What devices call themselves is not for the terminal as it is.
    let safe = |text: &str| Text::<128>::lossy(text).as_str().to_owned();
    let rows: Vec<_> = devices
        .iter()
        .map(|device| {
            let observed = if device.observed { " (only observed)" } else { "" };
            [
                device.device.clone(),
                device.target.clone() + observed,
                device.usb_id.clone(),
                safe(&device.name),
                safe(&device.serial),
                device.port.clone().unwrap_or_default(),
                moment(device.decided_at),
                safe(&device.reason),
            ]
        })
        .collect();
    table(["DEVICE", "DECISION", "ID", "NAME", "SERIAL", "PORT", "SINCE", "BY"], &rows)
}
