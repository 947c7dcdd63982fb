//! Programs of the tools tree and of this machine.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use super::trial::build;

/// A program of the tools tree, run inside it; it sees the build folder under its own path.
pub fn inside_tree(program: &str) -> Command {
    let build = build();
    let mut command = Command::new("bwrap");
    command
        .arg("--bind")
        .arg(build.join("tools/tree"))
        .args(["/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind"])
        .args([&build, &build])
        .args(["--setenv", "PATH", "/usr/sbin:/usr/bin", "--setenv", "LC_ALL", "C.UTF-8", "--"])
        .arg(program);
    command
}

/// Runs a command; its standard output.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let Output { status, stdout, stderr } = output(command)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!("`{}` ended with {status}: {}", line(command), said.trim());
    }
    Ok(stdout)
}

/// Runs a command, whatever comes of it.
pub fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("start `{}`", line(command)))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// A file out of the root file system of an image.
pub fn file_of_root(root: &Path, path: &str) -> Result<Vec<u8>> {
    run(inside_tree("dump.erofs").arg("--cat").arg(format!("--path={path}")).arg(root))
}
