//! `/proc/mounts` (`proc_pid_mounts(5)`).

use super::{Context, Finding, context::unreadable};

/// What is mounted at one place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) source: String,
    options: Vec<String>,
}

impl Mount {
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|found| found == option)
    }
}

/// The mount that is seen at a place: the last one there.
pub(super) fn at(context: &Context, place: &str) -> Result<Option<Mount>, Finding> {
    const PATH: &str = "proc/mounts";
    let text = context.read(PATH).map_err(|error| {
        unreadable(PATH, &error, "Mount /proc; without it nothing can be said.")
    })?;
    Ok(find(&text, place))
}

fn find(text: &str, place: &str) -> Option<Mount> {
    text.lines().rev().find_map(|line| {
        let mut fields = line.split(' ');
        let (source, found) = (fields.next()?, fields.next()?);
        let options = fields.nth(1)?;
        (unescaped(found) == place).then(|| Mount {
            source: unescaped(source),
            options: options.split(',').map(str::to_owned).collect(),
        })
    })
}

/// Space, tab, line feed and backslash are written in octal.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_is_the_one_seen() {
        let text = "/dev/sda1 /var ext4 rw,nosuid 0 0\n/dev/mapper/v\\040r /var ext4 rw,nodev 0 0\n\
                    broken\n";
        let mount = find(text, "/var").unwrap();
        assert_eq!(mount.source, "/dev/mapper/v r");
        assert!(mount.has("nodev") && !mount.has("nosuid") && !mount.has("node"));
        assert_eq!(find(text, "/"), None);
    }
}
