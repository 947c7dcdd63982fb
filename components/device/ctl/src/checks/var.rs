//! State is on an encrypted volume that runs no set-user-id program and has no devices.

use super::{Context, Finding, device_mapper, mounts};

pub(super) fn run(context: &Context) -> Finding {
    const ADVICE: &str = "See `holdfast check var-verdict` for what happened at boot.";
    let mount = match mounts::at(context, "/var") {
        Ok(Some(mount)) => mount,
        Ok(None) => return Finding::failed("nothing is mounted at /var", ADVICE),
        Err(finding) => return finding,
    };
    let uuid = device_mapper::uuid(context, &mount.source).unwrap_or_default();
    if !uuid.starts_with("CRYPT-LUKS2-") {
        return Finding::failed(
            format!("/var is on {}, which is not encrypted with LUKS2", mount.source),
            ADVICE,
        );
    }
    let missing: Vec<&str> =
        ["nosuid", "nodev"].into_iter().filter(|option| !mount.has(option)).collect();
    if !missing.is_empty() {
        return Finding::failed(
            format!("/var is mounted without {}", missing.join(" and ")),
            "Restart the device; if it comes back so, install a release image.",
        );
    }
    Finding::ok("/var is encrypted, nosuid and nodev.")
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;

    #[test]
    fn table() {
        let luks = "CRYPT-LUKS2-1-var";
        let table = [
            ("/dev/mapper/var /var ext4 rw,nosuid,nodev 0 0\n", luks, Ok, "encrypted"),
            ("/dev/mapper/var /var ext4 rw,nodev 0 0\n", luks, Failed, "without nosuid"),
            ("/dev/mapper/var /var ext4 rw 0 0\n", luks, Failed, "nosuid and nodev"),
            ("/dev/mapper/var /var ext4 rw,nosuid,nodev 0 0\n", "CRYPT-PLAIN-var", Failed, "LUKS2"),
            ("tmpfs /var tmpfs rw,nosuid,nodev 0 0\n", luks, Failed, "on tmpfs"),
            ("/dev/dm-0 / erofs ro 0 0\n", luks, Failed, "nothing is mounted"),
        ];
        for (mounts, uuid, outcome, part) in table {
            Fixture::new()
                .file("proc/mounts", mounts)
                .mapped("dm-1", "var", uuid)
                .expect(run, outcome, part);
        }
    }
}
