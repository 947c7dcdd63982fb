//! What kind of device mapper device a block device is.

use std::fs;

use super::Context;

/// UUID of the device mapper device behind `/dev/dm-N` or `/dev/mapper/NAME`; its prefix names the
/// program and type that made it, as in `CRYPT-VERITY-` (cryptsetup).
pub(super) fn uuid(context: &Context, source: &str) -> Option<String> {
    let device = match source.strip_prefix("/dev/mapper/") {
        Some(name) => by_name(context, name)?,
        None => source.strip_prefix("/dev/").filter(|d| d.starts_with("dm-"))?.to_owned(),
    };
    if device.contains('/') {
        return None;
    }
    let uuid = context.read(&format!("sys/block/{device}/dm/uuid")).ok()?;
    Some(uuid.trim_end().to_owned())
}

fn by_name(context: &Context, name: &str) -> Option<String> {
    let entries = fs::read_dir(context.root.join("sys/block")).ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).find(|device| {
        device.starts_with("dm-")
            && context
                .read(&format!("sys/block/{device}/dm/name"))
                .is_ok_and(|found| found.trim_end() == name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn by_device_and_by_name() {
        let fixture = Fixture::new().mapped("dm-0", "root", "CRYPT-VERITY-1-root").mapped(
            "dm-1",
            "var",
            "CRYPT-LUKS2-2-var",
        );
        let table = [
            ("/dev/dm-0", Some("CRYPT-VERITY-1-root")),
            ("/dev/mapper/var", Some("CRYPT-LUKS2-2-var")),
            ("/dev/mapper/other", None),
            ("/dev/dm-7", None),
            ("/dev/dm-0/../dm-1", None),
            ("/dev/vda2", None),
            ("tmpfs", None),
        ];
        for (source, expected) in table {
            assert_eq!(uuid(&fixture.context, source).as_deref(), expected, "{source}");
        }
    }
}
