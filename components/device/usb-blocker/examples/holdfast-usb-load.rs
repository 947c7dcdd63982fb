//! Plugs gadgets of the kernel's dummy controllers in and out, for `cargo xtask bench usb` and the tests
//! of booted devices. What becomes of them it takes from the kernel's uevents and probes, whoever
//! decides.
//!
//! ```text
//! holdfast-usb-load latency COUNT GADGET           from the kernel's event that the device is there to
//!                                                  the write that lets it in, and to its first
//!                                                  interface, in microseconds, each time
//! holdfast-usb-load cycles COUNT CONTROLLERS       good<N> and evil<N> in turn on each controller
//! holdfast-usb-load race SECONDS CONTROLLERS       the same, but nobody waits for what becomes of them:
//!                                                  on the first controller ten times a second, on the
//!                                                  others for a tenth of a second up to a whole one
//! ```
//!
//! A gadget NAME is a folder of `/sys/kernel/config/usb_gadget`, made before; the last figure of the
//! name is the number of its controller. Gadgets of the product 0105 are never to be let in. In a race,
//! evil ones with a keyboard type as long as they are plugged in.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use holdfast_usb::uevent::Uevent;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt::RcvBuf,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long something may take that is to happen.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a device may take that is not let in, until it is unplugged.
const FOUND: Duration = Duration::from_millis(400);

/// How long a gadget of the first controller is plugged in, and then out, in a race.
const FAST: Duration = Duration::from_millis(50);
/// How long the others are at least, and how much longer at most.
const SLOW: (u64, u64) = (100, 900);
/// How often who is plugged in tries to type.
const TYPING: Duration = Duration::from_millis(20);
/// Key A down, and all keys up (HID 1.11, B.1).
const REPORTS: [[u8; 8]; 2] = [[0, 0, 4, 0, 0, 0, 0, 0], [0; 8]];

/// What the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// A device was found on a controller.
    Found,
    /// An interface of it is there: it was let in.
    LetIn,
    /// A device went.
    Gone,
}

struct Kernel {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Kernel {
    fn listen() -> Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .context("open a socket for the kernel's events")?;
        setsockopt(&socket, RcvBuf, &(8 << 20)).context("give it a large buffer")?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1))
            .context("listen to the kernel's events")?;
        Ok(Self { socket, buffer: vec![0; 16 << 10] })
    }

    /// The next news of a dummy controller: its number, what, and whether it is evil's.
    fn next(&mut self, until: Instant) -> Result<Option<(u32, News, bool)>> {
        loop {
            let wait = Timespec::try_from(until.saturating_duration_since(Instant::now()))?;
            let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
            if poll(&mut fds, Some(&wait)).context("wait for the kernel's events")? == 0 {
                return Ok(None);
            }
            let length = recv(
                self.socket.as_raw_fd(),
                &mut self.buffer,
                nix::sys::socket::MsgFlags::empty(),
            )
            .context("read an event of the kernel")?;
            let message = &self.buffer[..length];
            let Some(event) = Uevent::parse(message) else { continue };
            let news = match (event.action, event.device_type) {
                ("add", "usb_device") => News::Found,
                ("add", "usb_interface") => News::LetIn,
                ("remove", "usb_device") => News::Gone,
                _ => continue,
            };
            let Some((_, path)) = event.device_path.split_once("/dummy_hcd.") else { continue };
            let Some((number, device)) = path.split_once('/') else { continue };
            // `usb3/3-1`: the root hub itself is no news.
            if !device.contains('-') || device.contains("-0:") {
                continue;
            }
            let evil = b"PRODUCT=1d6b/105/";
            let is_evil = message.windows(evil.len()).any(|window| window == evil);
            let number = number.parse().with_context(|| format!("controller {number}"))?;
            return Ok(Some((number, news, is_evil)));
        }
    }

    fn wait_for(&mut self, awaited: News) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while let Some((_, news, _)) = self.next(until)? {
            if news == awaited {
                return Ok(());
            }
        }
        bail!("not within {} seconds: {awaited:?}", PATIENCE.as_secs())
    }
}

struct Gadget {
    file: PathBuf,
    controller: u32,
}

impl Gadget {
    fn new(name: &str) -> Self {
        let file = PathBuf::from("/sys/kernel/config/usb_gadget").join(name).join("UDC");
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        Self { file, controller: digits.parse().unwrap_or(0) }
    }

    fn plug(&self) -> Result<()> {
        self.write(&format!("dummy_udc.{}\n", self.controller))
    }

    fn unplug(&self) -> Result<()> {
        self.write("\n")
    }

    fn write(&self, text: &str) -> Result<()> {
        fs::write(&self.file, text).with_context(|| format!("write {}", self.file.display()))
    }

    /// The end of its keyboard on which it types, once it is plugged in.
    fn keyboard(&self) -> Result<Option<File>> {
        let functions = self.file.with_file_name("functions");
        let read = || format!("read {}", functions.display());
        for entry in fs::read_dir(&functions).with_context(read)? {
            let entry = entry.with_context(read)?;
            if !entry.file_name().as_encoded_bytes().starts_with(b"hid.") {
                continue;
            }
            let device = entry.path().join("dev");
            let number = fs::read_to_string(&device)
                .with_context(|| format!("read {}", device.display()))?;
            let (_, minor) = number.trim().split_once(':').context(number.clone())?;
            let path = format!("/dev/hidg{minor}");
            let mut options = OpenOptions::new();
            options.write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
            return options.open(&path).map(Some).with_context(|| format!("open {path}"));
        }
        Ok(None)
    }
}

/// The kernel's own clock at three functions of its USB core, by its tracing of probes: whoever waits
/// for events wakes up when he is given the processor.
struct Probes {
    tracing: &'static Path,
}

/// Microseconds since the kernel's event.
struct Waits {
    /// Until somebody wrote that it is let in; nobody does if the kernel lets everything in itself.
    written: Option<u64>,
    /// Until the kernel has made its first interface.
    let_in: u64,
}

impl Probes {
    /// What each is called, and where it is: right before the event of a device, at the write of its
    /// `authorized`, and right before the event of an interface.
    const ALL: [(&'static str, &'static str); 3] = [
        ("found", "usb_create_sysfs_dev_files"),
        ("written", "usb_authorize_device"),
        ("let_in", "usb_create_sysfs_intf_files"),
    ];

    fn set() -> Result<Self> {
        let probes = Self { tracing: Path::new("/sys/kernel/tracing") };
        probes.write("trace_clock", "mono")?;
        if !probes.tracing.join("events/holdfast_usb").exists() {
            let line = |(name, function)| format!("p:holdfast_usb/{name} {function}\n");
            let text = Self::ALL.map(line).concat();
            probes.write("kprobe_events", &text)?;
        }
        probes.write("events/holdfast_usb/enable", "1")?;
        Ok(probes)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.tracing.join(file);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    fn forget(&self) -> Result<()> {
        // Opened so, it is emptied (Documentation/trace/ftrace.rst).
        self.write("trace", "")
    }

    /// Of the one device that came since the last [`Probes::forget`].
    fn waits(&self) -> Result<Waits> {
        let text = fs::read_to_string(self.tracing.join("trace")).context("read the trace")?;
        let at = |name: &str| {
            let mark = format!(": {name}: ");
            let line = text.lines().find(|line| line.contains(&mark))?;
            let (before, _) = line.split_once(&mark)?;
            let (seconds, micros) = before.rsplit_once(' ')?.1.split_once('.')?;
            Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
        };
        let found = at("found").with_context(|| format!("no device was found: {text}"))?;
        let since = |time: u64| time.checked_sub(found).context("earlier than it was found");
        let let_in = at("let_in").with_context(|| format!("no device was let in: {text}"))?;
        Ok(Waits { written: at("written").map(since).transpose()?, let_in: since(let_in)? })
    }
}

fn latency(count: usize, name: &str) -> Result<()> {
    let (mut kernel, gadget) = (Kernel::listen()?, Gadget::new(name));
    let probes = Probes::set()?;
    let mut all = Vec::new();
    for _ in 0..count {
        probes.forget()?;
        gadget.plug()?;
        kernel.wait_for(News::LetIn)?;
        all.push(probes.waits()?);
        gadget.unplug()?;
        kernel.wait_for(News::Gone)?;
        // Whatever the others do of it comes to rest.
        std::thread::sleep(Duration::from_millis(100));
    }
    let text = |Waits { written, let_in }: &Waits| {
        let written = written.map_or("null".to_owned(), |wait| wait.to_string());
        format!("[{written},{let_in}]")
    };
    println!("[{}]", all.iter().map(text).collect::<Vec<_>>().join(","));
    Ok(())
}

/// One plug of a gadget on each controller at once. How many were found and let in.
fn round(kernel: &mut Kernel, gadgets: &[Gadget], is_evil: bool) -> Result<(u64, u64, u64)> {
    gadgets.iter().try_for_each(Gadget::plug)?;
    let (mut found, mut let_in, mut violations) = (0, 0, 0);
    let mut until = Instant::now() + PATIENCE;
    let all = gadgets.len() as u64;
    while let Some((_, news, evil)) = kernel.next(until)? {
        match news {
            News::Found => found += 1,
            News::LetIn if evil => violations += 1,
            News::LetIn => let_in += 1,
            News::Gone => {}
        }
        if found == all && is_evil {
            // What is let in against the rules would be by now.
            until = until.min(Instant::now() + FOUND);
        }
        if let_in >= all {
            break;
        }
    }
    gadgets.iter().try_for_each(Gadget::unplug)?;
    let mut gone = 0;
    let until = Instant::now() + PATIENCE;
    while gone < found {
        match kernel.next(until)? {
            Some((_, News::Gone, _)) => gone += 1,
            Some((_, News::LetIn, true)) => violations += 1,
            Some(_) => {}
            None => break,
        }
    }
    Ok((found, let_in, violations))
}

fn cycles(count: u64, controllers: u32) -> Result<()> {
    let mut kernel = Kernel::listen()?;
    let all = |name: &str| (0..controllers).map(|n| Gadget::new(&format!("{name}{n}"))).collect();
    let (good, evil): (Vec<_>, Vec<_>) = (all("good"), all("evil"));
    let (mut plugged, mut good_in, mut evil_found, mut violations) = (0u64, 0, 0, 0);
    let begun = Instant::now();
    while plugged < count {
        let (_, let_in, wrong) = round(&mut kernel, &good, false)?;
        (good_in, violations) = (good_in + let_in, violations + wrong);
        let (found, _, wrong) = round(&mut kernel, &evil, true)?;
        (evil_found, violations) = (evil_found + found, violations + wrong);
        plugged += 2 * u64::from(controllers);
        eprint!("\r{plugged} of {count} ");
    }
    eprintln!();
    println!(
        "{{\"plugged\":{plugged},\"good_let_in\":{good_in},\"evil_found\":{evil_found},\
         \"violations\":{violations},\"seconds\":{}}}",
        begun.elapsed().as_secs()
    );
    Ok(())
}

/// A controller on which good and evil take turns.
struct Turns {
    good: Gadget,
    evil: Gadget,
    is_fast: bool,
    /// Who is in, or was last.
    is_evil: bool,
    is_in: bool,
    keyboard: Option<File>,
    next: Instant,
    plugged: u64,
    /// Of the generator of how long each stays.
    random: u64,
}

impl Turns {
    fn new(number: u32) -> Self {
        let gadget = |name: &str| Gadget::new(&format!("{name}{number}"));
        Self {
            good: gadget("good"),
            evil: gadget("evil"),
            is_fast: number == 0,
            is_evil: true,
            is_in: false,
            keyboard: None,
            next: Instant::now(),
            plugged: 0,
            random: 0x9e37_79b9_7f4a_7c15 ^ u64::from(number),
        }
    }

    fn unplug(&mut self) -> Result<()> {
        self.keyboard = None;
        self.is_in = false;
        if self.is_evil { self.evil.unplug() } else { self.good.unplug() }
    }

    fn plug(&mut self) -> Result<()> {
        self.is_evil = !self.is_evil;
        self.is_in = true;
        self.plugged += 1;
        if !self.is_evil {
            return self.good.plug();
        }
        self.evil.plug()?;
        self.keyboard = self.evil.keyboard()?;
        Ok(())
    }

    /// What is due by now.
    fn step(&mut self) -> Result<()> {
        let now = Instant::now();
        if now >= self.next {
            let stay = if self.is_in {
                self.unplug()?;
                FAST
            } else {
                self.plug()?;
                self.stay()
            };
            // A gadget that came late makes the next one come early, but not at once.
            self.next = (self.next + stay).max(now + stay / 2);
        }
        if let Some(keyboard) = &mut self.keyboard {
            for report in REPORTS {
                // Who is not let in cannot type: that is the point.
                let _ = keyboard.write(&report);
            }
        }
        Ok(())
    }

    fn stay(&mut self) -> Duration {
        if self.is_fast {
            return FAST;
        }
        // Xorshift (Marsaglia 2003).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Duration::from_millis(SLOW.0 + self.random % SLOW.1)
    }
}

fn race(seconds: u64, controllers: u32) -> Result<()> {
    let mut kernel = Kernel::listen()?;
    let mut all: Vec<Turns> = (0..controllers).map(Turns::new).collect();
    let (mut good_found, mut good_in, mut evil_found, mut violations) = (0u64, 0u64, 0u64, 0u64);
    let mut count = |news: News, is_evil: bool| match (news, is_evil) {
        (News::Found, false) => good_found += 1,
        (News::LetIn, false) => good_in += 1,
        (News::Found, true) => evil_found += 1,
        (News::LetIn, true) => violations += 1,
        (News::Gone, _) => {}
    };
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    while Instant::now() < end {
        all.iter_mut().try_for_each(Turns::step)?;
        let next = all.iter().map(|turns| turns.next).min().unwrap_or(end);
        let until = next.min(Instant::now() + TYPING);
        while let Some((_, news, is_evil)) = kernel.next(until)? {
            count(news, is_evil);
        }
    }
    let took = begun.elapsed();
    all.iter_mut().filter(|turns| turns.is_in).try_for_each(Turns::unplug)?;
    while let Some((_, news, is_evil)) = kernel.next(Instant::now() + Duration::from_secs(1))? {
        count(news, is_evil);
    }
    let plugged: u64 = all.iter().map(|turns| turns.plugged).sum();
    let fast = all.first().map_or(0, |turns| turns.plugged);
    println!(
        "{{\"plugged\":{plugged},\"plugged_on_first\":{fast},\"good_found\":{good_found},\
         \"good_let_in\":{good_in},\"evil_found\":{evil_found},\"violations\":{violations},\
         \"milliseconds\":{}}}",
        took.as_millis()
    );
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["latency", count, gadget] => latency(count.parse()?, gadget),
        ["cycles", count, controllers] => cycles(count.parse()?, controllers.parse()?),
        ["race", seconds, controllers] => race(seconds.parse()?, controllers.parse()?),
        _ => bail!("latency COUNT GADGET, cycles COUNT CONTROLLERS, or race SECONDS CONTROLLERS"),
    }
}
