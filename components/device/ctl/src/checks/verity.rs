//! The root file system is read-only and checked block by block.

use super::{Context, Finding, device_mapper, mounts};

pub(super) fn run(context: &Context) -> Finding {
    const ADVICE: &str = "Install a release image; this system can be changed unnoticed.";
    let mount = match mounts::at(context, "/") {
        Ok(Some(mount)) => mount,
        Ok(None) => return Finding::failed("nothing is mounted at /", "Look at /proc/mounts."),
        Err(finding) => return finding,
    };
    let uuid = device_mapper::uuid(context, &mount.source).unwrap_or_default();
    if !uuid.starts_with("CRYPT-VERITY-") {
        return Finding::failed(
            format!("the root file system is on {}, not on dm-verity", mount.source),
            ADVICE,
        );
    }
    if !mount.has("ro") {
        return Finding::failed("the root file system is mounted writable", ADVICE);
    }
    Finding::ok("The root file system is read-only and verified by dm-verity.")
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;

    #[test]
    fn table() {
        let table = [
            ("/dev/dm-0 / erofs ro,relatime 0 0\n", "CRYPT-VERITY-1-root", Ok, "verified"),
            ("/dev/mapper/root / erofs ro 0 0\n", "CRYPT-VERITY-1-root", Ok, "verified"),
            ("/dev/dm-0 / erofs rw 0 0\n", "CRYPT-VERITY-1-root", Failed, "writable"),
            ("/dev/dm-0 / ext4 ro 0 0\n", "CRYPT-LUKS2-1-root", Failed, "not on dm-verity"),
            ("/dev/dm-0 / ext4 ro 0 0\n", "LVM-1", Failed, "not on dm-verity"),
            ("/dev/vda2 / erofs ro 0 0\n", "CRYPT-VERITY-1-root", Failed, "/dev/vda2"),
            (
                "/dev/dm-0 / erofs ro 0 0\noverlay / overlay rw 0 0\n",
                "CRYPT-VERITY-1-root",
                Failed,
                "on overlay",
            ),
            ("proc /proc proc rw 0 0\n", "CRYPT-VERITY-1-root", Failed, "nothing"),
        ];
        for (mounts, uuid, outcome, part) in table {
            Fixture::new()
                .file("proc/mounts", mounts)
                .mapped("dm-0", "root", uuid)
                .expect(run, outcome, part);
        }
    }
}
