use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;

use super::*;

const NOW: u64 = 1_800_000_000;
const YEAR: u64 = 31_536_000;

fn algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::ring::default_provider().signature_verification_algorithms
}

/// A CA that can sign others.
struct Root {
    der: Vec<u8>,
    params: CertificateParams,
    key: KeyPair,
}

fn params(name: &str, ca: bool, ends: u64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    }
    let moment = |seconds: u64| {
        OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap()
    };
    params.not_before = moment(NOW - YEAR);
    params.not_after = moment(ends);
    params
}

impl Root {
    fn new(name: &str) -> Self {
        let (params, key) = (params(name, true, NOW + YEAR), KeyPair::generate().unwrap());
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, params, key }
    }

    /// Signs another's name and key.
    fn cross(&self, other: &Self) -> Vec<u8> {
        self.sign(&other.params, &other.key)
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).unwrap().der().to_vec()
    }
}

fn offer(certificates: &[&[u8]]) -> Vec<Certificate> {
    certificates.iter().map(|der| Certificate::from_der(der).unwrap()).collect()
}

fn found(trusted: &[&Root], offered: &[&[u8]]) -> Vec<Succession> {
    let trusted: Vec<Vec<u8>> = trusted.iter().map(|root| root.der.clone()).collect();
    find(&trusted, &offer(offered), NOW, &algorithms())
}

#[test]
fn a_root_that_the_old_one_signed_takes_over() {
    let (old, new) = (Root::new("fleet"), Root::new("fleet"));
    let (cross, back) = (old.cross(&new), new.cross(&old));
    let found = found(&[&old], &[&new.der, &old.der, &cross, &back]);
    assert_eq!(found, [Succession { old: old.der.clone(), new: new.der.clone(), cross }]);
    let trusted = reachable([old.der.clone()], &found, &algorithms());
    assert_eq!(trusted, [old.der, new.der]);
}

#[test]
fn several_successions_lead_on_in_any_order() {
    let roots: Vec<Root> = (0..3).map(|_| Root::new("fleet")).collect();
    let (first, second) = (roots[0].cross(&roots[1]), roots[1].cross(&roots[2]));
    let mut found = found(&[&roots[0]], &[&second, &roots[2].der, &first, &roots[1].der]);
    assert_eq!(found.len(), 2);
    found.reverse();
    let trusted = reachable([roots[0].der.clone()], &found, &algorithms());
    assert_eq!(trusted.len(), 3);
    // From the middle only forward; from elsewhere nowhere.
    assert_eq!(reachable([roots[1].der.clone()], &found, &algorithms()).len(), 2);
    assert_eq!(reachable([roots[2].der.clone()], &found, &algorithms()).len(), 1);
}

/// Threat "man in the middle CA": whatever else is offered, only the old root's signature counts.
#[test]
fn what_the_old_root_did_not_sign_is_not_taken() {
    let (old, new, foreign) = (Root::new("fleet"), Root::new("fleet"), Root::new("fleet"));
    let good = old.cross(&new);
    let mut torn = good.clone();
    *torn.last_mut().unwrap() ^= 1;
    let leaf_params = params("fleet", false, NOW + YEAR);
    let leaf_cross = old.sign(&leaf_params, &new.key);
    let other_name = old.sign(&params("other", true, NOW + YEAR), &new.key);
    let expired = old.sign(&params("fleet", true, NOW - 1), &new.key);
    let leaf = leaf_params.self_signed(&new.key).unwrap().der().to_vec();
    for (what, offered) in [
        ("no cross certificate", vec![&new.der]),
        ("no root", vec![&good]),
        ("signed by another root of the same name", vec![&new.der, foreign.cross(&new).as_ref()]),
        ("signed by itself", vec![&new.der, new.cross(&new).as_ref()]),
        ("about another root", vec![&foreign.der, &good]),
        ("torn", vec![&new.der, &torn]),
        ("not for a CA", vec![&new.der, &leaf_cross]),
        ("no CA", vec![&leaf, &good]),
        ("another name", vec![&new.der, &other_name]),
        ("expired", vec![&new.der, &expired]),
    ]
    .map(|(what, list)| {
        (what, list.into_iter().map(Vec::as_slice).map(<[u8]>::to_vec).collect::<Vec<_>>())
    }) {
        let offered: Vec<&[u8]> = offered.iter().map(Vec::as_slice).collect();
        assert_eq!(found(&[&old], &offered), [], "{what}");
    }
}

#[test]
fn a_stored_succession_counts_only_while_its_signatures_verify() {
    let (old, new) = (Root::new("fleet"), Root::new("fleet"));
    let cross = old.cross(&new);
    let good = Succession { old: old.der.clone(), new: new.der.clone(), cross };
    assert_eq!(good.verify(&algorithms()), Ok(()));
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<Succession>(&text).unwrap(), good);
    let foreign = Root::new("fleet");
    for (bad, why) in [
        (Succession { new: foreign.der.clone(), ..good.clone() }, "name and key"),
        (Succession { cross: foreign.cross(&new), ..good.clone() }, "signature of the cross"),
        (Succession { cross: vec![1], ..good.clone() }, "is no certificate"),
        (Succession { old: foreign.der.clone(), ..good.clone() }, "signature of the cross"),
        (Succession { old: Root::new("x").der, ..good.clone() }, "issued by the old root"),
    ] {
        let refusal = bad.verify(&algorithms()).unwrap_err().to_string();
        assert!(refusal.contains(why), "{refusal}");
        assert_eq!(reachable([old.der.clone()], &[bad], &algorithms()).len(), 1);
    }
}
