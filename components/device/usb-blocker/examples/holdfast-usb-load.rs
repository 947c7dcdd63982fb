//! Plugs gadgets of the kernel's dummy controllers in and out, for `cargo xtask bench usb`. What
//! becomes of them it takes from the kernel's uevents, whoever decides.
//!
//! ```text
//! holdfast-usb-load latency COUNT GADGET           how long a device waits until it is let in, in
//!                                                  microseconds, each time
//! holdfast-usb-load cycles COUNT CONTROLLERS       good<N> and evil<N> in turn on each controller
//! ```
//!
//! A gadget NAME is a folder of `/sys/kernel/config/usb_gadget`, made before; the last figure of the
//! name is the number of its controller. Gadgets of the product 0105 are never to be let in.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a load that cannot be made says so

use std::env;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

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

/// What the kernel says.
#[derive(Clone, Copy, PartialEq, Eq)]
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
    fn listen() -> Self {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkKObjectUEvent,
        )
        .unwrap();
        setsockopt(&socket, RcvBuf, &(8 << 20)).unwrap();
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1)).unwrap();
        Self { socket, buffer: vec![0; 16 << 10] }
    }

    /// The next news of a dummy controller: its number, what, and whether it is evil's.
    fn next(&mut self, until: Instant) -> Option<(u32, News, bool)> {
        loop {
            let wait = Timespec::try_from(until.saturating_duration_since(Instant::now())).unwrap();
            let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
            if poll(&mut fds, Some(&wait)).unwrap() == 0 {
                return None;
            }
            let length = recv(
                self.socket.as_raw_fd(),
                &mut self.buffer,
                nix::sys::socket::MsgFlags::empty(),
            )
            .unwrap();
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
            return Some((number.parse().unwrap(), news, is_evil));
        }
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

    fn plug(&self) {
        fs::write(&self.file, format!("dummy_udc.{}\n", self.controller)).unwrap();
    }

    fn unplug(&self) {
        fs::write(&self.file, "\n").unwrap();
    }
}

fn latency(count: usize, name: &str) {
    let (mut kernel, gadget) = (Kernel::listen(), Gadget::new(name));
    let mut waits = Vec::new();
    for _ in 0..count {
        gadget.plug();
        let until = Instant::now() + PATIENCE;
        let mut found = None;
        loop {
            let (_, news, _) = kernel.next(until).expect("the device is found and let in");
            match (news, found) {
                (News::Found, _) => found = Some(Instant::now()),
                (News::LetIn, Some(found)) => {
                    waits.push(found.elapsed());
                    break;
                }
                _ => {}
            }
        }
        gadget.unplug();
        let until = Instant::now() + PATIENCE;
        while kernel.next(until).expect("the device goes").1 != News::Gone {}
        // Whatever the others do of it comes to rest.
        std::thread::sleep(Duration::from_millis(100));
    }
    let waits: Vec<String> = waits.iter().map(|wait| wait.as_micros().to_string()).collect();
    println!("[{}]", waits.join(","));
}

/// One plug of a gadget on each controller at once. How many were found and let in.
fn round(kernel: &mut Kernel, gadgets: &[Gadget], is_evil: bool) -> (u64, u64, u64) {
    gadgets.iter().for_each(Gadget::plug);
    let (mut found, mut let_in, mut violations) = (0, 0, 0);
    let mut until = Instant::now() + PATIENCE;
    let all = gadgets.len() as u64;
    while let Some((_, news, evil)) = kernel.next(until) {
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
    gadgets.iter().for_each(Gadget::unplug);
    let mut gone = 0;
    let until = Instant::now() + PATIENCE;
    while gone < found {
        match kernel.next(until) {
            Some((_, News::Gone, _)) => gone += 1,
            Some((_, News::LetIn, true)) => violations += 1,
            Some(_) => {}
            None => break,
        }
    }
    (found, let_in, violations)
}

fn cycles(count: u64, controllers: u32) {
    let mut kernel = Kernel::listen();
    let all = |name: &str| (0..controllers).map(|n| Gadget::new(&format!("{name}{n}"))).collect();
    let (good, evil): (Vec<_>, Vec<_>) = (all("good"), all("evil"));
    let (mut plugged, mut good_in, mut evil_found, mut violations) = (0u64, 0, 0, 0);
    let begun = Instant::now();
    while plugged < count {
        let (_, let_in, wrong) = round(&mut kernel, &good, false);
        (good_in, violations) = (good_in + let_in, violations + wrong);
        let (found, _, wrong) = round(&mut kernel, &evil, true);
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
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["latency", count, gadget] => latency(count.parse().unwrap(), gadget),
        ["cycles", count, controllers] => {
            cycles(count.parse().unwrap(), controllers.parse().unwrap());
        }
        _ => panic!("latency COUNT GADGET, or cycles COUNT CONTROLLERS"),
    }
}
