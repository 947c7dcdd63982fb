//! The arguments, and the help that teaches them.

mod usb;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use time::OffsetDateTime;

pub(super) use self::usb::{Usb, UsbOwner, UsbPolicy};
use super::{Client, Exit};
use crate::access::Role;
use crate::ca::{CaId, PublicUrl};
use crate::data::DataFolder;
use crate::device_audit::LogId;
use crate::files;
use crate::registry::{
    Approval, Binding, DeviceState, Digest, GroupName, QuoteMode, Severity, Tenant,
};
use crate::tokens::{Audience, Scope};

const EXAMPLES: &str = "\
From nothing to an enrolled device:

  holdfast-cloud serve --data /var/lib/holdfast-cloud --server-name connector.example.org &
  export HOLDFAST_CLOUD_DATA=/var/lib/holdfast-cloud
  holdfast-cloud site new --tenant demo --enrol-url https://connector.example.org:8443 \\
      --device-url https://connector.example.org:8444 --edge-id-source dmi-serial \\
      --key site-signing.key --out site.toml
  holdfast-cloud release publish release.json
  holdfast-cloud device register SN-0001 --ek-sha256 3f0c...
  holdfast-cloud device show SN-0001

Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 the server refused, or there is no such
thing; 4 the server cannot be reached.";

/// Registry, certificate authority and device API of Holdfast.
#[derive(Debug, Parser)]
#[command(name = "holdfast-cloud", version, after_long_help = EXAMPLES, subcommand_required = true)]
pub struct Arguments {
    /// Print one JSON document instead of text; with serve: log as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Which server, and how to prove who calls.
#[derive(Clone, Debug, Args)]
pub(super) struct Connection {
    /// Data folder of the server. Commands find address, anchor and administrator's key in it.
    #[arg(long, global = true, env = "HOLDFAST_CLOUD_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Management API of a server elsewhere, as https://HOST:PORT.
    #[arg(long, global = true, env = "HOLDFAST_CLOUD_SERVER", value_name = "URL")]
    server: Option<String>,
    /// Root certificate of that server, PEM.
    #[arg(long, global = true, env = "HOLDFAST_CLOUD_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with an API key.
    #[arg(long, global = true, env = "HOLDFAST_CLOUD_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

impl Connection {
    pub(super) fn folder(&self) -> Result<DataFolder, Exit> {
        let path = self.data.as_ref().ok_or_else(|| {
            Exit::Usage("say which data folder: --data DIR, or HOLDFAST_CLOUD_DATA".into())
        })?;
        Ok(DataFolder::at(path))
    }

    /// A client of the server: what is not said is looked up in the data folder.
    pub(super) fn client(&self) -> Result<Client, Exit> {
        let server = match &self.server {
            Some(server) => server.clone(),
            None => local_url(self.folder()?.read_endpoints()?.management),
        };
        let read = |path: &PathBuf| files::read(path).map_err(|e| Exit::Failed(e.to_string()));
        let root = match &self.ca {
            Some(path) => read(path)?,
            None => read(&self.folder()?.root_certificate())?,
        };
        let key = match &self.api_key_file {
            Some(path) => read(path)?,
            None => read(&self.folder()?.admin_key())?,
        };
        let key = String::from_utf8(key)
            .map_err(|_| Exit::Failed("the API key file is not text".to_owned()))?;
        Ok(Client::new(&server, &root, &key)?)
    }
}

/// An address that listens everywhere is reached through loopback.
pub(super) fn local_url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("https://{address}")
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server.
    Serve(Serve),
    /// The certificate authority: show it, roll its CAs over, end an overlap.
    #[command(subcommand)]
    Ca(Ca),
    /// Site configurations: which connector devices talk to, and whom they trust.
    #[command(subcommand)]
    Site(Site),
    /// Releases: what devices may boot and still get a certificate.
    #[command(subcommand)]
    Release(Release),
    /// Devices.
    #[command(subcommand)]
    Device(Device),
    /// Groups of devices: what is said of several at once.
    #[command(subcommand)]
    Group(Group),
    /// USB ports of devices.
    #[command(subcommand)]
    Usb(Usb),
    /// Recovery keys: what opens a device's disk when its TPM does not.
    #[command(subcommand)]
    Recovery(Recovery),
    /// Makers of TPMs that vouch for devices' TPMs.
    #[command(subcommand)]
    EkCa(EkCa),
    /// What somebody must look at, until it is acknowledged.
    #[command(subcommand)]
    Alert(Alert),
    /// What happened: enrolments, and why some were refused.
    Events(Events),
    /// Who changed what on the server.
    Audit(Audit),
    /// The audit logs of devices: who did what there.
    #[command(subcommand)]
    DeviceAudit(DeviceAudit),
    /// Tokens by which devices show third parties who they are.
    #[command(subcommand)]
    Token(Token),
    /// API keys of the management API.
    #[command(subcommand)]
    ApiKey(ApiKey),
}

const SERVE: &str = "\
The first start makes, in the data folder:

  ca/root.crt ca/root.key        the anchor that devices pin. The key is not needed any more after
                                 the first start: move it to a safe place off this machine
  ca/issuing.crt ca/issuing.key  the CA that signs devices' certificates
  tls/                           the server's own certificate, renewed by itself
  token-keys.json                the keys that sign devices' tokens
  admin.key                      an API key of the role admin, readable by its owner only
  holdfast.db                    the registry

With --public-listen and --public-url, third parties can learn whether a device's certificate is
revoked: new certificates name the addresses of revocation list and OCSP responder.

The server takes an authority that is rolled over (holdfast-cloud ca ...) into use by itself.

SIGTERM and SIGINT stop the server after running requests have ended.";

/// Run the server.
#[derive(Debug, Args)]
#[command(after_long_help = SERVE)]
pub(super) struct Serve {
    /// Address for enrolment (EST, TLS 1.2 and 1.3).
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    pub(super) est_listen: SocketAddr,
    /// Address for enrolled devices (mutual TLS 1.3).
    #[arg(long, default_value = "127.0.0.1:8444", value_name = "ADDRESS")]
    pub(super) device_listen: SocketAddr,
    /// Address for operators (TLS 1.3 and API keys).
    #[arg(long, default_value = "127.0.0.1:8445", value_name = "ADDRESS")]
    pub(super) management_listen: SocketAddr,
    /// Address for everybody (plain HTTP): revocation lists, CA certificates, OCSP. Not served
    /// unless given.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) public_listen: Option<SocketAddr>,
    /// Where others reach that address, as `http://HOST[:PORT][/PATH]`; new device certificates
    /// name it.
    #[arg(long, value_name = "URL", requires = "public_listen")]
    pub(super) public_url: Option<PublicUrl>,
    /// DNS name or address under which devices reach the server; loopback is always included.
    #[arg(long = "server-name", value_name = "NAME_OR_IP")]
    pub(super) server_names: Vec<String>,
    /// File with the passphrase that encrypts the root's key; used at the first start.
    #[arg(long, value_name = "FILE")]
    pub(super) root_passphrase_file: Option<PathBuf>,
    /// File with the passphrase of the issuing CA's key; used at every start.
    #[arg(long, value_name = "FILE")]
    pub(super) issuing_passphrase_file: Option<PathBuf>,
}

const CA: &str = "\
These commands work on the data folder, whether the server runs or not; a running server takes the
change over by itself. Each leaves an audit record.

A roll-over of the root, from beginning to end:

  holdfast-cloud ca roll-root --root-key /media/safe/root.key \\
      --new-root-key /media/safe/root-2.key --new-root-passphrase-file passphrase
  holdfast-cloud ca show             old and new root are published, devices accept both
  ... until every device has called since, and new site configurations name the new root ...
  holdfast-cloud ca retire ID        ends the overlap: the old root is no longer accepted";

#[derive(Debug, Subcommand)]
#[command(after_long_help = CA)]
pub(super) enum Ca {
    /// Show the roots and issuing CAs, and until when each is good.
    Show,
    /// Let a new issuing CA sign from now on. Certificates of the former one stay good until they
    /// end. Needs the root's key.
    RollIssuing(AuthorityKeys),
    /// Make a new root and a new issuing CA under it. Devices that know the old root and devices
    /// that know the new one are both served until the old one is retired. Needs the root's key.
    RollRoot {
        #[command(flatten)]
        keys: AuthorityKeys,
        /// Where to write the key of the new root, which must not exist; keep it off this machine.
        #[arg(long, value_name = "FILE")]
        new_root_key: PathBuf,
        /// File with the passphrase that encrypts it.
        #[arg(long, value_name = "FILE")]
        new_root_passphrase_file: Option<PathBuf>,
    },
    /// End the overlap of a former root or issuing CA: it is no longer published nor accepted, and
    /// the certificates below it are revoked. Devices that use one enrol again.
    Retire {
        /// As show prints it.
        id: CaId,
        /// Although devices still use certificates below it.
        #[arg(long)]
        force: bool,
        /// The private key of its root, PEM: the root's revocation list then names an issuing CA
        /// that is retired.
        #[arg(long, value_name = "FILE")]
        root_key: Option<PathBuf>,
        /// File with its passphrase, if it has one.
        #[arg(long, value_name = "FILE", requires = "root_key")]
        root_passphrase_file: Option<PathBuf>,
    },
}

/// Where the root's key is, which is brought to the server for a roll-over, and how keys open.
#[derive(Debug, Args)]
pub(super) struct AuthorityKeys {
    /// The root's private key, PEM; DATA/ca/root.key unless given.
    #[arg(long, value_name = "FILE")]
    pub(super) root_key: Option<PathBuf>,
    /// File with its passphrase, if it has one.
    #[arg(long, value_name = "FILE")]
    pub(super) root_passphrase_file: Option<PathBuf>,
    /// File with the passphrase of the issuing CA's key, if it has one; it encrypts the new one.
    #[arg(long, value_name = "FILE")]
    pub(super) issuing_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Site {
    /// Make and sign a site configuration, and accept devices that boot with it.
    New(SiteNew),
    /// Accept devices that boot with a site configuration that was made elsewhere.
    Add {
        /// site.toml
        document: PathBuf,
    },
    /// Let devices go to another site: sign that they may take its site configuration.
    Transfer(SiteTransfer),
    /// List the accepted site configurations.
    List {
        /// Only of this tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
}

const SITE_NEW: &str = "\
Works on the data folder, whether the server runs or not; without a certificate authority there,
it makes one. Writes OUT and OUT.sig.

The signing key is ECDSA P-256, PEM; its public key is part of the image:

  openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt \\
      -out site-signing.key";

#[derive(Debug, Args)]
#[command(after_long_help = SITE_NEW)]
pub(super) struct SiteNew {
    /// Owner of the devices: a-z, 0-9 and hyphens.
    #[arg(long)]
    pub(super) tenant: String,
    /// Where devices enrol, as https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(super) enrol_url: String,
    /// Where enrolled devices call, as https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(super) device_url: String,
    /// Where a device reads its Edge ID: dmi-serial, mac:INTERFACE, device-tree or fixed:TEXT.
    #[arg(long, default_value = "dmi-serial", value_name = "SOURCE")]
    pub(super) edge_id_source: String,
    /// Further CA certificates that devices trust, PEM; the server's root is always among them.
    #[arg(long, value_name = "FILE")]
    pub(super) anchor: Vec<PathBuf>,
    /// Public key to which devices wrap their disk's recovery key, PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) recovery_key: Option<PathBuf>,
    /// Private key that signs the configuration, PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// Where to write the configuration.
    #[arg(long, default_value = "site.toml", value_name = "FILE")]
    pub(super) out: PathBuf,
    /// File with the passphrase of the issuing CA's key, if it has one.
    #[arg(long, value_name = "FILE")]
    pub(super) issuing_passphrase_file: Option<PathBuf>,
}

const SITE_TRANSFER: &str = "\
Works on the data folder of the cloud that the devices leave, with the key of its root. A device
that is bound to it takes another tenant's or another cloud's site.toml only with this signature:
put OUT beside that site.toml on the boot partition, as holdfast/site.transfer.";

#[derive(Debug, Args)]
#[command(after_long_help = SITE_TRANSFER)]
pub(super) struct SiteTransfer {
    /// The site configuration to which devices may move, site.toml.
    pub(super) document: PathBuf,
    /// Whose devices may move.
    #[arg(long)]
    pub(super) tenant: Tenant,
    /// Where to write the signed transfer.
    #[arg(long, default_value = "site.transfer", value_name = "FILE")]
    pub(super) out: PathBuf,
    /// The root's private key, PEM; DATA/ca/root.key unless given.
    #[arg(long, value_name = "FILE")]
    pub(super) root_key: Option<PathBuf>,
    /// File with its passphrase, if it has one.
    #[arg(long, value_name = "FILE")]
    pub(super) root_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Release {
    /// Accept devices that boot a release; FILE is the measurement that the build wrote.
    Publish {
        /// The measurement, JSON.
        file: PathBuf,
    },
    /// List the releases.
    List,
    /// Give devices with a release no certificate any more.
    Withdraw {
        /// SHA-256 of its unified kernel image, as list prints it.
        uki_sha256: Digest,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Device {
    /// Register a device, so that it may enrol.
    #[command(after_long_help = REGISTER)]
    Register {
        /// Edge ID: with dmi-serial the serial number on the device's label.
        edge_id: String,
        #[command(flatten)]
        binding: BindingArguments,
        /// Days within which the device must enrol; 7 with a code or secret, else without end.
        #[arg(long, value_name = "DAYS")]
        enrol_within: Option<u16>,
        /// Owner; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
        /// Who lets the device in when it has proven what is registered; manual with --ek-ca,
        /// else auto.
        #[arg(long)]
        approval: Option<ApprovalArgument>,
        /// What to do about a boot that matches no release; what its group says, else enforce,
        /// unless given.
        #[arg(long)]
        quote: Option<QuoteArgument>,
        /// The group to put it into.
        #[arg(long)]
        group: Option<GroupName>,
        /// Your own words.
        #[arg(long)]
        note: Option<String>,
    },
    /// List devices.
    List {
        /// Only of this tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
        /// Only in this state.
        #[arg(long)]
        state: Option<DeviceState>,
        /// Only in a group of this name.
        #[arg(long)]
        group: Option<GroupName>,
    },
    /// List the devices that wait for approval.
    Pending {
        /// Only of this tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Show a device: state, certificates, what it booted, and what happened.
    Show(DeviceName),
    /// Let a device in that waits for approval.
    Approve(DeviceName),
    /// Shut a device out for a while.
    Suspend(DeviceName),
    /// Let a suspended device in again.
    Resume(DeviceName),
    /// Shut a device out for good and revoke its certificates.
    Revoke(DeviceName),
    /// Take a device out of the fleet; its Edge ID and TPM may be registered again.
    Retire(DeviceName),
    /// Register the devices of a table, all or none.
    #[command(after_long_help = IMPORT)]
    Import {
        /// The table, CSV; - is standard input.
        file: PathBuf,
        /// Only try it: say what is wrong, or how many there are.
        #[arg(long)]
        dry_run: bool,
        /// Owner of devices whose line names none; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Give an Edge ID to another TPM, after its hardware was replaced.
    Rebind {
        #[command(flatten)]
        device: DeviceName,
        /// SHA-256 of the new TPM's endorsement key.
        #[arg(long, value_name = "HEX")]
        ek_sha256: Digest,
    },
    /// Take the firmware state (PCR 7) of the next enrolment for the right one, after a firmware
    /// update or a change of Secure Boot keys.
    ForgetFirmware(DeviceName),
    /// Put a device into another group of its tenant, or into none.
    #[command(group(clap::ArgGroup::new("where").required(true)))]
    MoveGroup {
        #[command(flatten)]
        device: DeviceName,
        /// The group.
        #[arg(long, value_name = "GROUP", group = "where")]
        to: Option<GroupName>,
        /// Into no group.
        #[arg(long, group = "where")]
        none: bool,
    },
}

const GROUP: &str = "\
What check 9 of an enrolment does about a boot that matches no release: what the device's own
registration says (device register --quote), else what its group says, else enforce.

  enforce  no certificate
  record   a certificate; what deviates stands in the enrolment and in an event";

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// Make a group, or replace what it says; its devices stay in it.
    #[command(after_long_help = GROUP)]
    Set {
        /// a-z, 0-9 and hyphens.
        name: GroupName,
        /// What to do about a boot that matches no release.
        #[arg(long)]
        quote: QuoteArgument,
        /// Owner; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// List the groups.
    List {
        /// Only of this tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Show a group.
    Show {
        /// Its name.
        name: GroupName,
        /// Owner; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Remove a group that no device is in.
    Remove {
        /// Its name.
        name: GroupName,
        /// Owner; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
}

const IMPORT: &str = "\
The first line names the columns, separated by commas; each further line is a device:

  edge_id,ek_sha256,note
  SN-0001,9cba9f7d1fa3d89198821da8f6b17fd0346560431cf5f6608e6ee33221a2ff2e,rack 7
  SN-0002,7b1a55a7ff2e60c4be1dd0a0f7a0a5d40a0c30a37e1c8bb0dc6d9d2d2f9c8e11,

Column edge_id must be there; binding (ek_sha256, ek_ca, pairing_code, plain_est), ek_sha256,
approval (auto, manual), quote_mode (enforce, record), group, not_after (2027-01-31T00:00:00Z), note
and tenant may be. An empty field is one that is left out. Pairing codes and enrolment secrets are
printed, as a table again; the server shows them this once.";

const REGISTER: &str = "\
How the device is known, from strong to weak:

  --ek-sha256 HEX  by the hash of its TPM's endorsement key
  --ek-ca          by its TPM's maker (holdfast-cloud ek-ca add): the first genuine TPM that
                   claims the Edge ID is bound to it when you approve
  --pairing-code   by a one-time code that is printed now and that you carry to the device; the
                   first TPM whose device has it is bound
  --plain-est      without a TPM, for other EST clients: by a one-time secret, the password of
                   the first request; its certificates say that nothing was attested

One Edge ID is bound to one TPM; another one later needs holdfast-cloud device rebind.";

/// How a device is known.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct BindingArguments {
    /// SHA-256 of the TPM's endorsement key (its public key in DER), as
    /// `holdfast identity` prints it on the device.
    #[arg(long, value_name = "HEX")]
    pub(super) ek_sha256: Option<Digest>,
    /// The first TPM that an allowed CA vouches for.
    #[arg(long)]
    ek_ca: bool,
    /// The first TPM whose device has the code that is printed.
    #[arg(long)]
    pairing_code: bool,
    /// A client without a TPM, by the secret that is printed.
    #[arg(long)]
    plain_est: bool,
}

impl BindingArguments {
    pub(super) fn binding(self) -> Binding {
        match self {
            Self { ek_ca: true, .. } => Binding::EkCa,
            Self { pairing_code: true, .. } => Binding::PairingCode,
            Self { plain_est: true, .. } => Binding::PlainEst,
            Self { .. } => Binding::EkSha256,
        }
    }
}

const EK_CA: &str = "\
A TPM proves by its EK certificate who made it. Makers publish the CAs that sign these, roots and
intermediates, on their web sites; add both, since not every TPM carries the intermediate. A
manufacturer's private CA is added in the same way.";

#[derive(Debug, Subcommand)]
pub(super) enum Alert {
    /// List the open alerts.
    List {
        /// Also those that were acknowledged.
        #[arg(long)]
        all: bool,
        /// At most so many, the newest.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Close an alert; when it happens again, there is a new one.
    Acknowledge {
        /// As list prints it.
        id: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum EkCa {
    /// Allow the CAs in PEM files; in a folder, those in every .pem and .crt file.
    #[command(after_long_help = EK_CA)]
    Add {
        /// Files and folders.
        #[arg(required = true, value_name = "FILE")]
        paths: Vec<PathBuf>,
        /// Whose devices; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// List the allowed CAs.
    List {
        /// Only of this tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Allow a CA no more; TPMs that are bound already stay so.
    Remove {
        /// As list prints it.
        sha256: Digest,
        /// Whose; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
}

#[derive(Debug, Args)]
pub(super) struct DeviceName {
    /// Edge ID or device id.
    #[arg(value_name = "DEVICE")]
    pub(super) name: String,
    /// Owner, where several tenants use the same Edge ID.
    #[arg(long)]
    pub(super) tenant: Option<Tenant>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Recovery {
    /// Make the operator's key pair, to whose public half devices wrap their recovery keys.
    NewKey(RecoveryNewKey),
    /// List the recovery keys that devices have handed over.
    List {
        /// Only of this tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Show which recovery keys there are for a device.
    Show(DeviceName),
    /// Fetch a device's recovery key, still wrapped. Recorded; role operator.
    Export {
        #[command(flatten)]
        device: DeviceName,
        /// Where to write it; standard output if left out.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Open a wrapped recovery key with the operator's private key, on this machine.
    Open(RecoveryOpen),
}

const NEW_KEY: &str = "\
Writes OUT and beside it the public key, with the extension pub. Put the public key into the site:

  holdfast-cloud recovery new-key --out operator.pem --passphrase-file passphrase
  holdfast-cloud site new --recovery-key operator.pub ...

Whoever has OUT and its passphrase can open every disk whose recovery key is wrapped to it. Without
it no recovery key can be opened: keep a copy in a safe place. An existing key of RSA (2048 bits or
more) or on the curve P-256 does as well; then only --recovery-key is needed.";

#[derive(Debug, Args)]
#[command(after_long_help = NEW_KEY)]
pub(super) struct RecoveryNewKey {
    /// Where to write the private key, PKCS#8 in PEM.
    #[arg(long, default_value = "operator.pem", value_name = "FILE")]
    pub(super) out: PathBuf,
    /// File with the passphrase that encrypts it.
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

const OPEN: &str = "\
The private key stays here: the server gives out the wrapped key, and it is opened on this machine.
With a file nothing is asked of the server. The same without this program:

  holdfast-cloud recovery export SN-0001 --out wrapped.pem
  openssl cms -decrypt -inform PEM -in wrapped.pem -inkey operator.pem

Type the key at the device's console, or at its serial line, where it asks for it.";

#[derive(Debug, Args)]
#[command(after_long_help = OPEN)]
pub(super) struct RecoveryOpen {
    /// A file that `recovery export` wrote, or Edge ID or device id.
    #[command(flatten)]
    pub(super) source: DeviceName,
    /// The operator's private key, PEM.
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// File with its passphrase.
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Events {
    /// Only of this device: Edge ID as the device claims it.
    #[arg(long, value_name = "EDGE_ID")]
    pub(super) device: Option<String>,
    /// Only of this request, as the device shows it after a refusal.
    #[arg(long, value_name = "ID")]
    pub(super) request: Option<String>,
    /// Only this severe or more.
    #[arg(long)]
    pub(super) severity: Option<SeverityArgument>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub(super) limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Only about this device: Edge ID or device id.
    #[arg(long)]
    pub(super) device: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub(super) limit: u32,
}

const SEARCH: &str = "\
Examples:

  holdfast-cloud device-audit search --device SN-0001 --user 1000
  holdfast-cloud device-audit search --class usb --from 2026-11-25T00:00:00Z
  holdfast-cloud device-audit search --action identity.sign --json";

#[derive(Debug, Subcommand)]
pub(super) enum DeviceAudit {
    /// Find records, those that came last first.
    Search(DeviceAuditSearch),
    /// Show a device's logs: up to where each is stored, and signed by its TPM.
    Status(DeviceName),
    /// Write a whole log into a folder: its key, its segments, and a receipt of the server.
    Export(DeviceAuditExport),
}

#[derive(Debug, Args)]
#[command(after_long_help = SEARCH)]
pub(super) struct DeviceAuditSearch {
    /// Only of this device: Edge ID or device id.
    #[arg(long)]
    pub(super) device: Option<String>,
    /// Owner, where several tenants use the same Edge ID.
    #[arg(long, requires = "device")]
    pub(super) tenant: Option<Tenant>,
    /// Only by this user id, or by one who logged in as it.
    #[arg(long, value_name = "UID")]
    pub(super) user: Option<u32>,
    /// Only of this class: kernel, execution, system, operation, authentication, usb, policy,
    /// update, permission, log.
    #[arg(long)]
    pub(super) class: Option<String>,
    /// Only of this kind: kernel-event, operation, loss, recovered, checkpoint, boot, clock.
    #[arg(long)]
    pub(super) kind: Option<String>,
    /// Only at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) from: Option<OffsetDateTime>,
    /// Only at this time or earlier (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) to: Option<OffsetDateTime>,
    /// Only with this text in the name of the action.
    #[arg(long, value_name = "TEXT")]
    pub(super) action: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub(super) limit: u32,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        .map_err(|e| format!("not a time as in 2026-11-25T10:00:00Z: {e}"))
}

#[derive(Debug, Args)]
pub(super) struct DeviceAuditExport {
    #[command(flatten)]
    pub(super) device: DeviceName,
    /// Which log, as status prints it; the device's last one unless given.
    #[arg(long)]
    pub(super) log: Option<LogId>,
    /// Folder to write, which must not exist.
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// For whom devices may have tokens; without an audience nobody gets one.
    #[command(subcommand)]
    Audience(TokenAudience),
    /// The keys that sign tokens; verifiers find them at /.well-known/jwks.json.
    #[command(subcommand)]
    Key(TokenKey),
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenAudience {
    /// Allow tokens for an audience, or change its scopes.
    Add {
        /// Claim aud: the service that will read the token, often its URL.
        audience: Audience,
        /// What a token may ask for; may be given several times.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// Whose devices; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// List the audiences.
    List {
        /// Only of this tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Give no more tokens for an audience; those that are out end within 15 minutes.
    Remove {
        /// As list prints it.
        audience: Audience,
        /// Whose devices; may be left out while there is one tenant.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenKey {
    /// List the keys of the set.
    List,
    /// Sign with the next key from now on. It has been in the set since the last rotation, and the
    /// former one stays there until its last token has ended: nobody notices.
    Rotate {
        /// Somebody else may have the keys: make all of them new, and take the old ones out of the
        /// set at once. Tokens that are out stop counting.
        #[arg(long)]
        compromised: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ApiKey {
    /// Make a key and print it, this once.
    Create {
        /// What people call it; it stands in audit records.
        name: String,
        /// What its holder may do: viewer reads, operator changes devices, admin everything.
        #[arg(long)]
        role: Role,
    },
    /// List keys.
    List,
    /// Revoke a key.
    Revoke {
        /// As list prints it.
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ApprovalArgument {
    Auto,
    Manual,
}

impl From<ApprovalArgument> for Approval {
    fn from(argument: ApprovalArgument) -> Self {
        match argument {
            ApprovalArgument::Auto => Self::Auto,
            ApprovalArgument::Manual => Self::Manual,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum QuoteArgument {
    Enforce,
    Record,
}

impl From<QuoteArgument> for QuoteMode {
    fn from(argument: QuoteArgument) -> Self {
        match argument {
            QuoteArgument::Enforce => Self::Enforce,
            QuoteArgument::Record => Self::Record,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SeverityArgument {
    Info,
    Warning,
    Alert,
}

impl From<SeverityArgument> for Severity {
    fn from(argument: SeverityArgument) -> Self {
        match argument {
            SeverityArgument::Info => Self::Info,
            SeverityArgument::Warning => Self::Warning,
            SeverityArgument::Alert => Self::Alert,
        }
    }
}

/// The present moment for commands that work without a server.
pub(super) fn now() -> OffsetDateTime {
    crate::clock::Clock::now(&crate::clock::SystemClock)
}
