use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Server;
use crate::Rng;
use crate::nbd::{FileStore, Store, VolatileDisk};
use crate::process::find_program;

const SIZE: u64 = 8 << 20;

/// A server of `SIZE` zeroes in `disk.raw`.
fn server(folder: &Path) -> Server {
    let path = folder.join("disk.raw");
    fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    let store: Box<dyn Store> = Box::new(FileStore::open(&path).unwrap());
    Server::start(VolatileDisk::new(store), &folder.join("socket")).unwrap()
}

/// A client that speaks bytes, so that it can speak nonsense.
struct Client(UnixStream);

impl Client {
    fn greet(server: &Server, flags: u32) -> Self {
        let mut stream = UnixStream::connect(server.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut hello = [0; 18];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello[..16], b"NBDMAGICIHAVEOPT");
        assert_eq!(hello[16..], [0, 3]);
        stream.write_all(&flags.to_be_bytes()).unwrap();
        Self(stream)
    }

    fn connect(server: &Server) -> Self {
        let mut client = Self::greet(server, 3);
        client.option(1, b"");
        let answer = client.take(10);
        assert_eq!(answer[..8], SIZE.to_be_bytes());
        client
    }

    fn option(&mut self, option: u32, data: &[u8]) {
        let mut message = b"IHAVEOPT".to_vec();
        message.extend(option.to_be_bytes());
        message.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(data);
        self.0.write_all(&message).unwrap();
    }

    fn option_reply(&mut self) -> (u32, Vec<u8>) {
        let header = self.take(20);
        assert_eq!(header[..8], 0x0003_e889_0455_65a9_u64.to_be_bytes());
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        (number(12), self.take(number(16) as usize))
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn send(&mut self, command: u16, flags: u16, offset: u64, length: u32, data: &[u8]) {
        let mut message = 0x2560_9513_u32.to_be_bytes().to_vec();
        message.extend(flags.to_be_bytes());
        message.extend(command.to_be_bytes());
        message.extend(*b"a-cookie");
        message.extend(offset.to_be_bytes());
        message.extend(length.to_be_bytes());
        message.extend(data);
        self.0.write_all(&message).unwrap();
    }

    /// Sends a request and returns the error number of the reply.
    fn request(&mut self, command: u16, flags: u16, offset: u64, length: u32, data: &[u8]) -> u32 {
        self.send(command, flags, offset, length, data);
        let reply = self.take(16);
        assert_eq!(reply[..4], 0x6744_6698_u32.to_be_bytes());
        assert_eq!(&reply[8..], b"a-cookie");
        u32::from_be_bytes(reply[4..8].try_into().unwrap())
    }

    fn read(&mut self, offset: u64, length: u32) -> Vec<u8> {
        assert_eq!(self.request(0, 0, offset, length, &[]), 0);
        self.take(length as usize)
    }

    fn is_hung_up(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn the_handshake_with_and_without_the_modern_options() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let mut old = Client::greet(&server, 1);
    old.option(1, b"");
    let answer = old.take(134);
    assert_eq!(answer[..8], SIZE.to_be_bytes());
    assert_eq!(answer[8..10], [0, 0b0110_1101]);
    assert_eq!(answer[10..], [0; 124]);
    assert_eq!(old.read(0, 512), [0; 512]);

    let mut modern = Client::greet(&server, 3);
    modern.option(8, b"");
    assert_eq!(modern.option_reply().0, (1 << 31) + 1, "structured replies are not supported");
    modern.option(3, b"");
    assert_eq!(modern.option_reply(), (2, vec![0; 4]));
    assert_eq!(modern.option_reply().0, 1);
    modern.option(7, b"\0\0\0\x05other\0\0");
    assert_eq!(modern.option_reply().0, (1 << 31) + 6);
    modern.option(7, b"\0\0\0\x09short\0\0");
    assert_eq!(modern.option_reply().0, (1 << 31) + 3);
    for option in [6, 7] {
        modern.option(option, b"\0\0\0\0\0\0");
        let (kind, export) = modern.option_reply();
        assert_eq!((kind, &export[..10]), (3, &[&[0, 0][..], &SIZE.to_be_bytes()].concat()[..]));
        let (kind, blocks) = modern.option_reply();
        assert_eq!((kind, &blocks[..6]), (3, &[0, 3, 0, 0, 2, 0][..]));
        assert_eq!(modern.option_reply().0, 1);
    }
    assert_eq!(modern.read(512, 512), [0; 512]);
}

#[test]
fn broken_clients_lose_their_connection_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let mut good = Client::connect(&server);
    assert!(Client::greet(&server, 1 << 7).is_hung_up());
    let mut no_magic = Client::greet(&server, 3);
    no_magic.0.write_all(&[0; 16]).unwrap();
    assert!(no_magic.is_hung_up());
    let mut named = Client::greet(&server, 3);
    named.option(1, b"other");
    assert!(named.is_hung_up());
    let mut long = Client::greet(&server, 3);
    long.0.write_all(b"IHAVEOPT\0\0\0\x07\xff\xff\xff\xff").unwrap();
    assert!(long.is_hung_up());
    let mut leaving = Client::greet(&server, 3);
    leaving.option(2, b"");
    assert_eq!(leaving.option_reply().0, 1);
    assert!(leaving.is_hung_up());
    let mut noise = Client::connect(&server);
    noise.0.write_all(&[0x55; 28]).unwrap();
    assert!(noise.is_hung_up());
    let mut huge = Client::connect(&server);
    huge.send(1, 0, 0, u32::MAX, &[]);
    assert!(huge.is_hung_up());
    assert_eq!(good.read(0, 16), [0; 16]);
}

#[test]
fn requests_and_their_errors() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let mut client = Client::connect(&server);
    assert_eq!(client.request(1, 0, 1024, 4, b"abcd"), 0);
    assert_eq!(client.read(1022, 8), b"\0\0abcd\0\0");
    assert_eq!(client.request(6, 0, 1025, 2, &[]), 0);
    assert_eq!(client.read(1024, 4), b"a\0\0d");
    assert_eq!(client.request(4, 0, 1024, 1, &[]), 0);
    assert_eq!(client.read(1024, 4), b"\0\0\0d");
    assert_eq!(client.request(3, 0, 0, 0, &[]), 0);
    assert_eq!(client.request(0, 0, SIZE - 1, 2, &[]), 22);
    assert_eq!(client.request(0, 0, 0, (32 << 20) + 1, &[]), 22);
    assert_eq!(client.request(1, 0, SIZE, 1, b"x"), 28);
    assert_eq!(client.request(1, 0, u64::MAX, 1, b"x"), 28);
    assert_eq!(client.request(6, 0, SIZE, 1, &[]), 28);
    assert_eq!(client.request(4, 0, SIZE, 1, &[]), 22);
    assert_eq!(client.request(77, 0, 0, 0, &[]), 22);
    client.send(2, 0, 0, 0, &[]);
    assert!(client.is_hung_up());
    assert_eq!(server.counters().flushes, 1);
}

#[test]
fn a_finished_server_leaves_every_write_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let mut client = Client::connect(&server);
    assert_eq!(client.request(1, 0, 5, 4, b"here"), 0);
    let socket = server.socket().to_owned();
    server.finish().unwrap();
    assert!(client.is_hung_up());
    assert!(!socket.exists());
    assert_eq!(&fs::read(folder.path().join("disk.raw")).unwrap()[4..10], b"\0here\0");
}

#[test]
fn a_power_cut_keeps_what_was_flushed_or_forced() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..24 {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path());
        let mut client = Client::connect(&server);
        assert_eq!(client.request(1, 0, 0, 4, b"gone"), 0);
        assert_eq!(client.request(1, 0, 0, 4, b"safe"), 0);
        assert_eq!(client.request(3, 0, 0, 0, &[]), 0);
        assert_eq!(client.request(1, 0, 4096, 4, b"risk"), 0);
        assert_eq!(client.request(1, 1, 8192, 4, b"fua!"), 0);
        let report = server.cut_power(&mut Rng::new(seed)).unwrap();
        let disk = fs::read(folder.path().join("disk.raw")).unwrap();
        assert_eq!((&disk[..4], &disk[8192..8196]), (&b"safe"[..], &b"fua!"[..]));
        match (&disk[4096..4100], report.kept, report.lost) {
            (b"risk", 1, 0) => kept += 1,
            (b"\0\0\0\0", 0, 1) => lost += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(kept > 0 && lost > 0, "{kept} kept, {lost} lost");
}

#[test]
fn a_frozen_disk_keeps_its_guest_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    server.freeze_after_writes(2);
    assert!(!server.wait_frozen(Duration::from_millis(20)));
    let mut client = Client::connect(&server);
    let (sent, third_is_sent) = mpsc::channel();
    let guest = thread::spawn(move || {
        assert_eq!(client.request(1, 0, 0, 3, b"one"), 0);
        assert_eq!(client.request(1, 0, 512, 3, b"two"), 0);
        client.send(1, 0, 1024, 5, b"three");
        sent.send(()).unwrap();
        client.is_hung_up()
    });
    assert!(server.wait_frozen(Duration::from_secs(20)));
    third_is_sent.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(server.counters().writes, 2);
    server.cut_power(&mut Rng::new(1)).unwrap();
    assert!(guest.join().unwrap(), "the third write was answered");
    let disk = fs::read(folder.path().join("disk.raw")).unwrap();
    assert_eq!(disk[1024..1029], [0; 5]);
}

fn qemu_io(server: &Server, commands: &[&str]) -> Option<String> {
    let Some(program) = find_program("qemu-io") else {
        crate::testing::left_out("qemu-io (package qemu-utils) is not on this machine");
        return None;
    };
    let mut command = Command::new(program);
    let url = format!("nbd+unix:///?socket={}", server.socket().display());
    command.args(["-f", "raw", &url]);
    for text in commands {
        command.args(["-c", text]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("failed"), "{text}");
    Some(text)
}

#[test]
fn qemus_client_reads_back_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let commands = [
        "write -P 0xa1 0 1M",
        "write -f -P 0xa2 1M 512k",
        "write -z 256k 64k",
        "discard 512k 64k",
        "flush",
        "aio_write -P 0xa3 4M 1M",
        "aio_write -P 0xa4 6M 2M",
        "aio_flush",
        "read -P 0xa1 0 256k",
        "read -P 0 256k 64k",
        "read -P 0 512k 64k",
        "read -P 0xa2 1M 512k",
        "read -P 0xa4 7M 1M",
    ];
    let Some(output) = qemu_io(&server, &commands) else { return };
    assert!(!output.contains("Pattern verification failed"), "{output}");
    assert!(server.counters().flushes >= 1);
    server.finish().unwrap();
    let disk = fs::read(folder.path().join("disk.raw")).unwrap();
    let at = |offset: usize| disk[offset];
    assert_eq!(
        [at(0), at(300 << 10), at(1 << 20), at(5 << 20), at(4 << 20)],
        [0xa1, 0, 0xa2, 0, 0xa3]
    );
}

#[test]
fn bulk_data_goes_through_fast() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let begun = Instant::now();
    let mut commands = vec!["write -q -P 0x11 0 8M"; 16];
    commands.extend(["flush", "read -q -P 0x11 0 8M"]);
    if qemu_io(&server, &commands).is_none() {
        return;
    }
    let megabytes = 136.0;
    let speed = megabytes / begun.elapsed().as_secs_f64();
    eprintln!("{speed:.0} MB/s");
    assert!(speed > 20.0, "{speed:.0} MB/s");
}
