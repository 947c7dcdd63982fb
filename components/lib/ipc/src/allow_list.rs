//! Which unit or role may use which key, and who may seal: `/usr/lib/holdfast/identity.toml`.
//!
//! ```toml
//! unit_proof = "process-fd"         # or "pid", where the bus offers no ProcessFD (D-Bus < 1.15.8)
//!
//! [[sign]]
//! key = "tls"
//! schemes = ["rsa-pss-sha256"]
//! units = ["holdfast-update.service", "holdfast-audit.service"]
//! log_keeper = "holdfast-audit.service"    # one of the units, whose signatures are not recorded
//!
//! [[token]]
//! audience = "https://telemetry.example"   # or "*": every audience that has no rule of its own
//! units = ["telemetry.service"]
//!
//! [seal]
//! role = "operator"
//! units = []
//!
//! [read]
//! units = ["holdfast-usb.service"]         # certificate and connector, besides viewers and signers
//! ```

use std::fmt;

use serde::Deserialize;

use crate::{Audience, Caller, Name, Role, identity::SealOwner};

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignScheme {
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256, salt of 32 bytes (RFC 8017 8.1).
    RsaPssSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 8.2).
    RsaPkcs1Sha256,
    /// ECDSA on P-256 with SHA-256, DER (RFC 3279 2.2.3).
    EcdsaP256Sha256,
}

impl SignScheme {
    const ALL: [Self; 3] = [Self::RsaPssSha256, Self::RsaPkcs1Sha256, Self::EcdsaP256Sha256];

    /// The name on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
        }
    }

    /// Reads the name on the bus.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("{shown:?} is not a signature scheme: expected one of {known}")
        })
    }

    /// Length of the digest that is signed, bytes.
    pub fn digest_len(self) -> usize {
        32
    }
}

impl fmt::Display for SignScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What must show that a process belongs to its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitProof {
    /// A pidfd that the bus took when the process connected.
    #[default]
    ProcessFd,
    /// Its pid, which another process may have taken over since.
    Pid,
}

/// Who may use the device's keys. Without a rule nobody may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityPolicy {
    #[serde(default)]
    unit_proof: UnitProof,
    #[serde(default, rename = "sign")]
    sign: Vec<SignRule>,
    #[serde(default, rename = "token")]
    token: Vec<TokenRule>,
    #[serde(default)]
    seal: Parties,
    #[serde(default)]
    read: Readers,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignRule {
    key: Name,
    schemes: Vec<SignScheme>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    units: Vec<String>,
    #[serde(default)]
    log_keeper: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRule {
    audience: Audience,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    units: Vec<String>,
}

/// The rule for every audience that has none of its own.
const ANY_AUDIENCE: &str = "*";

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parties {
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    units: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Readers {
    units: Vec<String>,
}

/// What let a caller in.
enum Admitted<'a> {
    ByUnit(&'a str),
    ByRole,
}

/// Why a policy file is refused.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML, or not of this form; the text names line and key.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A rule that cannot mean what it says.
    #[error("sign rule for key \"{key}\": {problem}")]
    Rule {
        /// Key of the rule.
        key: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// A rule that cannot mean what it says.
    #[error("token rule for audience \"{audience}\": {problem}")]
    Token {
        /// Audience of the rule.
        audience: String,
        /// What is wrong and what to write instead.
        problem: &'static str,
    },
    /// A unit name that no unit can have.
    #[error("{0:?} is not the name of a service unit: expected name.service")]
    Unit(String),
}

impl IdentityPolicy {
    /// Where the image keeps it.
    pub const PATH: &str = "/usr/lib/holdfast/identity.toml";

    /// Reads and checks the file's text.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text)?;
        let rule_error = |rule: &SignRule, problem: &str| PolicyError::Rule {
            key: rule.key.to_string(),
            problem: problem.to_owned(),
        };
        for (index, rule) in policy.sign.iter().enumerate() {
            if rule.schemes.is_empty() {
                return Err(rule_error(rule, "schemes is empty: name at least one"));
            }
            if rule.units.is_empty() && rule.role.is_none() {
                return Err(rule_error(rule, "it allows nobody: name units or a role"));
            }
            if rule.log_keeper.as_ref().is_some_and(|unit| !rule.units.contains(unit)) {
                return Err(rule_error(rule, "log_keeper is none of its units: name it there"));
            }
            if policy.sign[..index].iter().any(|earlier| earlier.key == rule.key) {
                return Err(rule_error(rule, "the key has a rule already: merge the two"));
            }
        }
        for (index, rule) in policy.token.iter().enumerate() {
            let problem = if rule.units.is_empty() && rule.role.is_none() {
                "it allows nobody: name units or a role"
            } else if policy.token[..index].iter().any(|earlier| earlier.audience == rule.audience)
            {
                "the audience has a rule already: merge the two"
            } else {
                continue;
            };
            return Err(PolicyError::Token { audience: rule.audience.to_string(), problem });
        }
        let units = policy.sign.iter().flat_map(|rule| &rule.units);
        let units = units.chain(policy.token.iter().flat_map(|rule| &rule.units));
        let units = units.chain(&policy.seal.units).chain(&policy.read.units);
        for unit in units {
            let stem = unit.strip_suffix(".service").unwrap_or_default();
            if stem.is_empty() || stem.contains(['/', ' ']) {
                return Err(PolicyError::Unit(unit.clone()));
            }
        }
        Ok(policy)
    }

    /// Whether the caller may sign with this key and scheme; otherwise the reason.
    pub fn may_sign(&self, caller: &Caller, key: &Name, scheme: SignScheme) -> Result<(), String> {
        let Some(rule) = self.sign.iter().find(|rule| rule.key == *key) else {
            return Err(format!("no rule allows the use of key \"{key}\""));
        };
        if !rule.schemes.contains(&scheme) {
            return Err(format!("key \"{key}\" may not be used with scheme {scheme}"));
        }
        self.admit(caller, rule.role, &rule.units)
            .map(|_| ())
            .map_err(|reason| format!("key \"{key}\": {reason}"))
    }

    /// Whether the caller may have the TPM's statement about a key: who may sign with it.
    pub fn may_certify(&self, caller: &Caller, key: &Name) -> Result<(), String> {
        match self.sign.iter().find(|rule| rule.key == *key).and_then(|rule| rule.schemes.first()) {
            Some(scheme) => self.may_sign(caller, key, *scheme),
            None => Err(format!("no rule allows the use of key \"{key}\"")),
        }
    }

    /// Whether the caller keeps the log and uses a key for that. A record of each of its signatures
    /// would be a reason for the next one.
    pub fn is_log_keeper(&self, caller: &Caller, key: &str) -> bool {
        let rule = self.sign.iter().find(|rule| rule.key.as_str() == key);
        let Some(keeper) = rule.and_then(|rule| rule.log_keeper.as_ref()) else { return false };
        let units = std::slice::from_ref(keeper);
        matches!(self.admit(caller, None, units), Ok(Admitted::ByUnit(_)))
    }

    /// Whether the caller may have a token for this audience; otherwise the reason.
    pub fn may_have_token(&self, caller: &Caller, audience: &Audience) -> Result<(), String> {
        let rule_for = |name: &str| self.token.iter().find(|rule| rule.audience.as_str() == name);
        let Some(rule) = rule_for(audience.as_str()).or_else(|| rule_for(ANY_AUDIENCE)) else {
            return Err(format!("no rule allows tokens for \"{audience}\""));
        };
        self.admit(caller, rule.role, &rule.units)
            .map(|_| ())
            .map_err(|reason| format!("tokens for \"{audience}\": {reason}"))
    }

    /// Whether the caller may seal and unseal, and whose namespace he then works in; otherwise the
    /// reason.
    pub fn may_seal(&self, caller: &Caller) -> Result<SealOwner, String> {
        Ok(match self.admit(caller, self.seal.role, &self.seal.units)? {
            Admitted::ByUnit(unit) => SealOwner::Unit(unit.to_owned()),
            Admitted::ByRole => SealOwner::User(caller.uid),
        })
    }

    /// Whether the caller may read certificate and connector: viewers, the units that may sign, and
    /// those that are listed for it.
    pub fn may_read(&self, caller: &Caller) -> Result<(), String> {
        let signers = self.sign.iter().flat_map(|rule| &rule.units);
        let units: Vec<String> = signers.chain(&self.read.units).cloned().collect();
        self.admit(caller, Some(Role::Viewer), &units).map(|_| ())
    }

    fn admit<'a>(
        &self,
        caller: &'a Caller,
        role: Option<Role>,
        units: &[String],
    ) -> Result<Admitted<'a>, String> {
        let by_role = match role {
            Some(required) => caller.require(required).map(|()| Admitted::ByRole),
            None => Err("it is for listed units only".to_owned()),
        };
        let Some(unit) = caller.unit.as_ref().filter(|unit| units.contains(&unit.name)) else {
            return by_role;
        };
        if unit.pinned || self.unit_proof == UnitProof::Pid {
            return Ok(Admitted::ByUnit(&unit.name));
        }
        by_role.map_err(|reason| {
            format!("{reason}; {} is listed but the bus gave no proof of the process", unit.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    const POLICY: &str = r#"
        [[sign]]
        key = "tls"
        schemes = ["rsa-pss-sha256", "rsa-pkcs1-sha256"]
        units = ["holdfast-update.service"]

        [[sign]]
        key = "audit"
        schemes = ["ecdsa-p256-sha256"]
        role = "admin"
        units = ["holdfast-audit.service"]

        [seal]
        role = "operator"
    "#;

    fn caller(role: Option<Role>, unit: Option<(&str, bool)>) -> Caller {
        Caller {
            uid: 1000,
            role,
            pid: None,
            login_uid: None,
            unit: unit.map(|(name, pinned)| Unit { name: name.into(), pinned }),
            program: None,
        }
    }

    #[test]
    fn who_may_sign_with_what() {
        use SignScheme::{EcdsaP256Sha256 as Ecdsa, RsaPkcs1Sha256 as Pkcs1, RsaPssSha256 as Pss};
        let update = Some(("holdfast-update.service", true));
        let audit = Some(("holdfast-audit.service", true));
        let unproven = Some(("holdfast-update.service", false));
        let (none, operator, admin) = (None, Some(Role::Operator), Some(Role::Admin));
        let table = [
            (none, update, "tls", Pss, Ok(())),
            (none, update, "tls", Pkcs1, Ok(())),
            (none, update, "tls", Ecdsa, Err("may not be used with scheme")),
            (none, update, "audit", Ecdsa, Err("role admin is needed")),
            (none, audit, "audit", Ecdsa, Ok(())),
            (none, audit, "tls", Pss, Err("listed units only")),
            (none, unproven, "tls", Pss, Err("no proof of the process")),
            (none, None, "tls", Pss, Err("listed units only")),
            (admin, None, "tls", Pss, Err("listed units only")),
            (operator, None, "audit", Ecdsa, Err("role admin is needed")),
            (admin, None, "audit", Ecdsa, Ok(())),
            (admin, update, "other", Pss, Err("no rule allows")),
        ];
        let policy = IdentityPolicy::parse(POLICY).unwrap();
        for (role, unit, key, scheme, expected) in table {
            let result = policy.may_sign(&caller(role, unit), &Name::new(key).unwrap(), scheme);
            match (result, expected) {
                (Ok(()), Ok(())) => {}
                (Err(reason), Err(part)) if reason.contains(part) => {}
                (result, expected) => {
                    panic!("{role:?} {unit:?} {key} {scheme}: {result:?}, expected {expected:?}")
                }
            }
        }
    }

    #[test]
    fn the_pid_is_proof_only_where_the_policy_says_so() {
        let policy = IdentityPolicy::parse(&format!("unit_proof = \"pid\"\n{POLICY}")).unwrap();
        let unproven = caller(None, Some(("holdfast-update.service", false)));
        let tls = Name::new("tls").unwrap();
        assert_eq!(policy.may_sign(&unproven, &tls, SignScheme::RsaPssSha256), Ok(()));
    }

    #[test]
    fn who_may_seal() {
        let policy =
            IdentityPolicy::parse(&format!("{POLICY}\nunits = [\"holdfast-access.service\"]"))
                .unwrap();
        assert!(policy.may_seal(&caller(None, None)).is_err());
        assert!(policy.may_seal(&caller(Some(Role::Viewer), None)).is_err());
        let operator = Some(Role::Operator);
        let user = Ok(SealOwner::User(1000));
        assert_eq!(policy.may_seal(&caller(operator, None)), user);
        let access = "holdfast-access.service";
        let unit = Ok(SealOwner::Unit(access.into()));
        assert_eq!(policy.may_seal(&caller(None, Some((access, true)))), unit);
        assert_eq!(policy.may_seal(&caller(operator, Some((access, false)))), user);
        assert!(policy.may_seal(&caller(None, Some((access, false)))).is_err());
        let nobody = IdentityPolicy::parse("").unwrap();
        assert!(nobody.may_seal(&caller(Some(Role::Admin), None)).is_err());
    }

    #[test]
    fn who_may_have_a_token_for_whom() {
        let policy = IdentityPolicy::parse(
            "[[token]]\naudience = \"telemetry\"\nunits = [\"telemetry.service\"]\n\
             [[token]]\naudience = \"*\"\nrole = \"admin\"\nunits = [\"agent.service\"]",
        )
        .unwrap();
        let telemetry = Some(("telemetry.service", true));
        let (none, operator, admin) = (None, Some(Role::Operator), Some(Role::Admin));
        let table = [
            (none, telemetry, "telemetry", true),
            (none, Some(("telemetry.service", false)), "telemetry", false),
            // A rule of its own takes an audience out of the general one.
            (admin, None, "telemetry", false),
            (none, Some(("agent.service", true)), "telemetry", false),
            (none, Some(("agent.service", true)), "other", true),
            (none, telemetry, "other", false),
            (admin, None, "other", true),
            (operator, None, "other", false),
            (none, None, "other", false),
        ];
        for (role, unit, audience, allowed) in table {
            let audience = Audience::new(audience).unwrap();
            let result = policy.may_have_token(&caller(role, unit), &audience);
            assert_eq!(result.is_ok(), allowed, "{role:?} {unit:?} {audience}: {result:?}");
        }
        let nobody = IdentityPolicy::parse("").unwrap();
        let audience = Audience::new("other").unwrap();
        assert!(nobody.may_have_token(&caller(admin, None), &audience).is_err());
    }

    #[test]
    fn only_the_proven_keeper_of_the_log_signs_without_a_record() {
        let policy = IdentityPolicy::parse(
            "[[sign]]\nkey = \"audit\"\nschemes = [\"ecdsa-p256-sha256\"]\nrole = \"admin\"\n\
             units = [\"holdfast-audit.service\", \"other.service\"]\n\
             log_keeper = \"holdfast-audit.service\"\n\
             [[sign]]\nkey = \"device\"\nschemes = [\"rsa-pss-sha256\"]\n\
             units = [\"holdfast-audit.service\"]",
        )
        .unwrap();
        let audit = Some(("holdfast-audit.service", true));
        let table = [
            (None, audit, "audit", true),
            (None, Some(("holdfast-audit.service", false)), "audit", false),
            (None, Some(("other.service", true)), "audit", false),
            (Some(Role::Admin), None, "audit", false),
            (None, audit, "device", false),
            (None, audit, "none", false),
        ];
        for (role, unit, key, expected) in table {
            let caller = caller(role, unit);
            assert_eq!(policy.is_log_keeper(&caller, key), expected, "{role:?} {unit:?} {key}");
        }
        let key = Name::new("audit").unwrap();
        assert_eq!(policy.may_certify(&caller(None, audit), &key), Ok(()));
        assert!(policy.may_certify(&caller(None, None), &key).is_err());
        let none = Name::new("none").unwrap();
        assert!(policy.may_certify(&caller(None, audit), &none).is_err());
    }

    #[test]
    fn viewers_and_signing_units_read() {
        let policy = IdentityPolicy::parse(POLICY).unwrap();
        assert!(policy.may_read(&caller(None, None)).is_err());
        assert_eq!(policy.may_read(&caller(Some(Role::Viewer), None)), Ok(()));
        let update = Some(("holdfast-update.service", true));
        assert_eq!(policy.may_read(&caller(None, update)), Ok(()));
        assert!(policy.may_read(&caller(None, Some(("sshd.service", true)))).is_err());
    }

    #[test]
    fn a_policy_that_cannot_be_meant_is_refused() {
        let rule = |body: &str| format!("[[sign]]\nkey = \"tls\"\n{body}");
        let table = [
            ("[[sign]]\nschemes = []", "key"),
            ("[[sign]]\nkey = \"TLS\"\nschemes = []", "TLS"),
            (&rule("schemes = []\nrole = \"admin\""), "schemes is empty"),
            (&rule("schemes = [\"rsa\"]"), "rsa"),
            (&rule("schemes = [\"rsa-pss-sha256\"]"), "allows nobody"),
            (&rule("schemes = [\"rsa-pss-sha256\"]\nunits = [\"a\"]"), "a"),
            (&rule("schemes = [\"rsa-pss-sha256\"]\nunits = [\".service\"]"), ".service"),
            (
                &rule("schemes = [\"rsa-pss-sha256\"]\nrole = \"admin\"\nlog_keeper = \"a\""),
                "none of its units",
            ),
            (&rule("schemes = [\"rsa-pss-sha256\"]\nroles = \"admin\""), "roles"),
            ("[[token]]\naudience = \"a b\"\nrole = \"admin\"", "not an audience"),
            ("[[token]]\naudience = \"a\"", "allows nobody"),
            ("[[token]]\naudience = \"a\"\nunits = [\"a\"]", "a"),
            ("[seal]\nrole = \"root\"", "root"),
            ("unit_proof = \"none\"", "none"),
        ];
        for (text, part) in table {
            let error = IdentityPolicy::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let twice = rule("schemes = [\"rsa-pss-sha256\"]\nrole = \"admin\"\n").repeat(2);
        assert!(IdentityPolicy::parse(&twice).unwrap_err().to_string().contains("merge"));
    }

    #[test]
    fn the_shipped_policy_lets_operators_seal_and_nobody_sign() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../rootfs-overlay/usr/lib/holdfast/identity.toml"
        );
        let policy = IdentityPolicy::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(policy.unit_proof, UnitProof::ProcessFd);
        assert!(policy.may_seal(&caller(Some(Role::Operator), None)).is_ok());
        let usb = caller(None, Some(("holdfast-usb.service", true)));
        assert_eq!(policy.may_read(&usb), Ok(()));
        assert!(policy.may_seal(&usb).is_err());
        let device = Name::new("device").unwrap();
        assert!(policy.may_sign(&usb, &device, SignScheme::RsaPssSha256).is_err());
        let tls = Name::new("tls").unwrap();
        let admin = caller(Some(Role::Admin), None);
        assert!(policy.may_sign(&admin, &tls, SignScheme::RsaPssSha256).is_err());
    }

    #[test]
    fn scheme_names() {
        for scheme in SignScheme::ALL {
            assert_eq!(SignScheme::parse(scheme.as_str()), Ok(scheme));
        }
        assert!(SignScheme::parse("rsa").unwrap_err().contains("rsa-pss-sha256"));
    }
}
