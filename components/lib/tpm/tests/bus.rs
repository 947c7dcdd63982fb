//! A listener between processor and TPM learns no secret.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use holdfast_tpm::swtpm::Swtpm;
use holdfast_tpm::{Credential, Tpm};
use tempfile::TempDir;

mod support;
use support::{PcrKey, run};

const SECRET: &[u8; 32] = b"a secret of thirty-two bytes ...";
const UNSEAL: [u8; 4] = 0x0000_015e_u32.to_be_bytes();
const ACTIVATE: [u8; 4] = 0x0000_0147_u32.to_be_bytes();

/// Passes everything on and keeps a copy.
struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Listener {
    fn before(swtpm: &Swtpm) -> Self {
        let target: u16 = swtpm.tcti().rsplit('=').next().unwrap().parse().unwrap();
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        // The control channel is on the next port.
        let (commands, control) = std::iter::repeat_with(|| bind(0).unwrap())
            .find_map(|first| {
                let next = first.local_addr().unwrap().port().checked_add(1)?;
                Some((first, bind(next).ok()?))
            })
            .unwrap();
        let port = commands.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        for (listener, target) in [(commands, target), (control, target + 1)] {
            let heard = Arc::clone(&heard);
            thread::spawn(move || serve(&listener, target, &heard));
        }
        Self { port, heard }
    }

    fn open(&self) -> Tpm {
        Tpm::open(&format!("swtpm:host=127.0.0.1,port={}", self.port)).unwrap()
    }

    fn heard(&self, bytes: &[u8]) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.windows(bytes.len()).any(|window| window == bytes)
    }
}

fn serve(listener: &TcpListener, target: u16, heard: &Arc<Mutex<Vec<u8>>>) {
    for client in listener.incoming().map_while(Result::ok) {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).unwrap();
        let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let copy = Arc::clone(heard);
        thread::spawn(move || pass(back.0, back.1, &copy));
        let copy = Arc::clone(heard);
        thread::spawn(move || pass(client, server, &copy));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        heard.lock().unwrap().extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn hears_what_is_not_secret() {
    let swtpm = Swtpm::blank().unwrap();
    let listener = Listener::before(&swtpm);
    listener.open().pcr_extend(14, SECRET).unwrap();
    assert!(listener.heard(SECRET));
}

#[test]
fn does_not_hear_a_sealed_secret() {
    let swtpm = Swtpm::blank().unwrap();
    let mut key = PcrKey::new();
    key.sign(&swtpm.tcti());
    let policy = key.policy();
    let listener = Listener::before(&swtpm);
    let tpm = listener.open();
    let sealed = tpm.seal(&policy, SECRET).unwrap();
    assert_eq!(*tpm.unseal(&policy, &sealed).unwrap(), SECRET);
    let code = tpm.boot_bound_hmac(&policy, b"var").unwrap();
    assert!(listener.heard(&UNSEAL));
    assert!(!listener.heard(SECRET));
    assert!(!listener.heard(&code));
}

#[test]
fn does_not_hear_an_activated_credential() {
    let swtpm = Swtpm::blank().unwrap();
    let listener = Listener::before(&swtpm);
    let tpm = listener.open();
    let ek = tpm.ek().unwrap();
    let ak_blob = tpm.create_ak().unwrap();

    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    let length = u16::try_from(ek.public.len()).unwrap().to_be_bytes();
    fs::write(file("ek"), [&length[..], &ek.public].concat()).unwrap();
    fs::write(file("secret"), SECRET).unwrap();
    let name = ak_blob.name();
    let make = format!("tpm2_makecredential -T none -u ek -s secret -n {name} -o credential");
    run(folder.path(), None, &make);
    let credential = fs::read(file("credential")).unwrap();
    let (length, rest) = credential[8..].split_first_chunk().unwrap();
    let (id_object, rest) = rest.split_at(u16::from_be_bytes(*length).into());

    let ak = tpm.load(&ak_blob).unwrap();
    let credential = Credential { id_object, encrypted_secret: &rest[2..] };
    assert_eq!(*tpm.activate_credential(&ak, credential).unwrap(), SECRET);
    assert!(listener.heard(&ACTIVATE));
    assert!(!listener.heard(SECRET));
}
