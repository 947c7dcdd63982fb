//! TPM structures: what a TPM made is read and written back unchanged, everything else is refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::data;
use holdfast_attestation::hash::HashAlgorithm;
use holdfast_attestation::pcr::QUOTED_PCRS;
use holdfast_attestation::tpm::{
    Attest, Attested, Bounded, ClockInfo, DecodeError, EccCurve, EccScheme, KdfScheme,
    KeyedHashScheme, Name, ObjectAttributes, Parameters, PcrSelection, PcrSelections, Public,
    RsaScheme, Signature, Symmetric, SymmetricMode,
};
use proptest::prelude::*;

const PUBLICS: [&str; 7] = [
    "ek-rsa2048.tpmt-public",
    "ak-p256.tpmt-public",
    "ak-rsassa.tpmt-public",
    "ak-rsapss.tpmt-public",
    "device-key-rsa2048.tpmt-public",
    "sealed.tpmt-public",
    "hmac-key.tpmt-public",
];
const ATTESTS: [&str; 5] = [
    "certify-rsassa.tpms-attest",
    "certify.tpms-attest",
    "quote.tpms-attest",
    "quote-rsassa.tpms-attest",
    "quote-rsapss.tpms-attest",
];
const SIGNATURES: [&str; 4] = [
    "certify.tpmt-signature",
    "quote.tpmt-signature",
    "quote-rsassa.tpmt-signature",
    "quote-rsapss.tpmt-signature",
];

/// A parser followed by its printer.
type Reprint = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

const REPRINTS: [Reprint; 4] = [
    |bytes| Public::parse(bytes).map(|public| public.marshal()),
    |bytes| Attest::parse(bytes).map(|attest| attest.marshal()),
    |bytes| Signature::parse(bytes).map(|signature| signature.marshal()),
    |bytes| PcrSelections::parse(bytes).map(|selections| selections.marshal()),
];

fn fixtures() -> impl Iterator<Item = (&'static str, Reprint)> {
    PUBLICS
        .map(|name| (name, REPRINTS[0]))
        .into_iter()
        .chain(ATTESTS.map(|name| (name, REPRINTS[1])))
        .chain(SIGNATURES.map(|name| (name, REPRINTS[2])))
}

#[test]
fn a_tpms_structures_are_written_back_unchanged() {
    for (name, reprint) in fixtures() {
        let bytes = data(name);
        assert_eq!(reprint(&bytes).as_deref(), Ok(bytes.as_slice()), "{name}");
    }
}

#[test]
fn every_truncation_is_refused() {
    for (name, reprint) in fixtures() {
        let bytes = data(name);
        for length in 0..bytes.len() {
            let result = reprint(&bytes[..length]);
            assert!(
                matches!(result, Err(DecodeError::Truncated { .. })),
                "{name} cut to {length}: {result:?}"
            );
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    for (name, reprint) in fixtures() {
        let mut bytes = data(name);
        bytes.push(0);
        let result = reprint(&bytes);
        assert!(matches!(result, Err(DecodeError::TrailingBytes { count: 1, .. })), "{name}");
    }
}

#[test]
fn the_tpms_name_is_computed() {
    let ak = Public::parse(&data("ak-p256.tpmt-public")).unwrap();
    assert_eq!(ak.name().as_bytes(), data("ak-p256.name"));
}

#[test]
fn spki_equals_that_of_the_tools() {
    for key in ["ak-p256", "device-key-rsa2048"] {
        let public = Public::parse(&data(&format!("{key}.tpmt-public"))).unwrap();
        assert_eq!(public.to_spki_der().unwrap(), data(&format!("{key}.spki.der")), "{key}");
    }
}

#[test]
fn keyed_hash_objects_and_templates_have_no_spki() {
    for name in ["sealed.tpmt-public", "hmac-key.tpmt-public"] {
        assert!(Public::parse(&data(name)).unwrap().to_spki_der().is_err(), "{name}");
    }
    let mut template = Public::parse(&data("device-key-rsa2048.tpmt-public")).unwrap();
    if let Parameters::Rsa { modulus, .. } = &mut template.parameters {
        *modulus = Bounded::default();
    }
    assert!(template.to_spki_der().is_err());
}

#[test]
fn a_coordinate_without_its_leading_zero_gives_the_same_spki() {
    let mut short = Public::parse(&data("ak-p256.tpmt-public")).unwrap();
    let mut full = short.clone();
    if let Parameters::Ecc { x, .. } = &mut short.parameters {
        *x = Bounded::new(&x[1..]).unwrap();
    }
    if let Parameters::Ecc { x, .. } = &mut full.parameters {
        *x = Bounded::new(&[&[0], &x[1..]].concat()).unwrap();
    }
    assert_eq!(short.to_spki_der(), full.to_spki_der());
    assert_ne!(short.name(), full.name());
}

#[test]
fn what_the_tpm_said_is_understood() {
    let ek = Public::parse(&data("ek-rsa2048.tpmt-public")).unwrap();
    assert!(ek.attributes.contains(ObjectAttributes::RESTRICTED | ObjectAttributes::DECRYPT));
    assert_eq!(ek.auth_policy.len(), 32);
    let ak = Public::parse(&data("ak-p256.tpmt-public")).unwrap();
    assert_eq!(
        ak.attributes.to_string(),
        "fixedTPM|fixedParent|sensitiveDataOrigin|userWithAuth|restricted|sign"
    );
    let key = Public::parse(&data("device-key-rsa2048.tpmt-public")).unwrap();
    let certify = Attest::parse(&data("certify.tpms-attest")).unwrap();
    assert!(matches!(certify.attested, Attested::Certify { name, .. } if name == key.name()));
    let quote = Attest::parse(&data("quote.tpms-attest")).unwrap();
    let Attested::Quote { selections, digest } = quote.attested else { panic!("not a quote") };
    let [selection] = selections.as_slice() else { panic!("not one selection") };
    assert_eq!((selection.hash, selection.indices()), (HashAlgorithm::Sha256, QUOTED_PCRS.into()));
    assert_eq!(*digest, *HashAlgorithm::Sha256.digest(&[&data("pcr-values")]));
}

/// Changes one field of a TPM's structure and expects that field to be named.
#[test]
fn values_that_are_not_accepted_name_their_field() {
    let key = "device-key-rsa2048.tpmt-public";
    for (name, offset, bytes, field) in [
        (key, 0, [0, 0x25].as_slice(), "type"),
        (key, 2, &[0, 0x04], "nameAlg"),
        (key, 2, &[0, 0x10], "nameAlg"),
        (key, 4, &[0x80, 0, 0, 0], "objectAttributes"),
        (key, 7, &[1], "objectAttributes"),
        (key, 10, &[0, 0x0a], "symmetric algorithm"),
        (key, 12, &[0, 0x18], "RSA scheme"),
        (key, 14, &[2, 0], "keyBits"),
        ("ak-p256.tpmt-public", 10, &[0, 6, 0, 7], "symmetric keyBits"),
        ("ak-p256.tpmt-public", 10, &[0, 6, 0, 128, 0, 1], "symmetric mode"),
        ("ak-p256.tpmt-public", 12, &[0, 0x14], "ECC scheme"),
        ("ak-p256.tpmt-public", 14, &[0, 4], "ECC scheme hash"),
        ("ak-p256.tpmt-public", 16, &[0, 1], "curveID"),
        ("ak-p256.tpmt-public", 18, &[0, 1], "KDF scheme"),
        ("sealed.tpmt-public", 10, &[0, 1], "keyed hash scheme"),
        ("quote.tpms-attest", 4, &[0x80, 0x14], "attestation type"),
        ("quote.tpms-attest", 4, &[0x80, 0x00], "attestation type"),
        ("quote.tpms-attest", 8, &[0, 4], "name algorithm"),
        ("quote.tpmt-signature", 0, &[0, 0x10], "sigAlg"),
        ("quote.tpmt-signature", 2, &[0, 4], "signature hash"),
    ] {
        let (_, reprint) = fixtures().find(|(fixture, _)| *fixture == name).unwrap();
        let mut changed = data(name);
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        match reprint(&changed) {
            Err(DecodeError::Unsupported { field: found, .. }) => {
                assert_eq!(found, field, "{name}");
            }
            other => panic!("{name} with {bytes:x?} at {offset}: {other:?}"),
        }
    }
}

#[test]
fn lengths_over_the_limit_are_refused_before_reading() {
    for (name, offset) in [
        ("device-key-rsa2048.tpmt-public", 8),
        ("device-key-rsa2048.tpmt-public", 20),
        ("quote.tpms-attest", 6),
        ("quote.tpmt-signature", 4),
    ] {
        let (_, reprint) = fixtures().find(|(fixture, _)| *fixture == name).unwrap();
        let mut changed = data(name);
        changed[offset..offset + 2].copy_from_slice(&[0xff, 0xff]);
        let result = reprint(&changed);
        assert!(matches!(result, Err(DecodeError::TooLong { .. })), "{name}: {result:?}");
    }
}

#[test]
fn another_magic_was_not_made_by_a_tpm() {
    let mut quote = data("quote.tpms-attest");
    quote[0] = 0;
    assert_eq!(Attest::parse(&quote), Err(DecodeError::NotTpmGenerated { magic: 0x0054_4347 }));
}

#[test]
fn pcr_selections() {
    assert_eq!(
        PcrSelection::new(HashAlgorithm::Sha256, &[14, 7, 7, 12, 11]).unwrap().indices(),
        QUOTED_PCRS
    );
    assert!(PcrSelection::new(HashAlgorithm::Sha256, &[24]).is_err());
    assert!(PcrSelection::new(HashAlgorithm::Sha256, &[255]).is_err());
    assert!(PcrSelection::new(HashAlgorithm::Sha256, &[]).unwrap().indices().is_empty());
    let many = vec![PcrSelection::new(HashAlgorithm::Sha256, &[0]).unwrap(); 17];
    assert!(PcrSelections::new(many).is_err());
    for (bytes, field) in [
        ([0, 0, 0, 17].as_slice(), "PCR selection count"),
        (&[0, 0, 0, 1, 0, 4, 3, 0, 0, 0], "PCR bank"),
        (&[0, 0, 0, 1, 0, 11, 2, 0, 0], "sizeofSelect"),
        (&[0, 0, 0, 1, 0, 11, 5, 0, 0, 0, 0, 0], "sizeofSelect"),
    ] {
        let result = PcrSelections::parse(bytes);
        assert!(
            matches!(&result, Err(DecodeError::Unsupported { field: found, .. }) if *found == field),
            "{bytes:?}: {result:?}"
        );
    }
}

#[test]
fn names_are_algorithm_and_digest() {
    let ak = Public::parse(&data("ak-p256.tpmt-public")).unwrap();
    assert_eq!(Name::from_bytes(ak.name().as_bytes()), Ok(ak.name()));
    for bytes in [
        [].as_slice(),
        &[0x81, 0, 0, 1],
        &[0, 4, 1, 2, 3],
        &ak.name().as_bytes()[..33],
        &[ak.name().as_bytes(), &[0]].concat(),
    ] {
        assert!(Name::from_bytes(bytes).is_err(), "{bytes:x?}");
    }
}

fn hash() -> impl Strategy<Value = HashAlgorithm> {
    proptest::sample::select(HashAlgorithm::ALL.as_slice())
}

fn bounded<const MAX: usize>(limit: usize) -> impl Strategy<Value = Bounded<MAX>> {
    proptest::collection::vec(any::<u8>(), 0..=limit)
        .prop_map(|bytes| Bounded::new(&bytes).unwrap())
}

fn attributes() -> impl Strategy<Value = ObjectAttributes> {
    any::<u32>().prop_map(|bits| ObjectAttributes::from_bits(bits & 0x000f_0ff6).unwrap())
}

fn symmetric() -> impl Strategy<Value = Symmetric> {
    use SymmetricMode::{Cbc, Cfb, Ctr, Ecb, Null, Ofb};
    prop_oneof![
        Just(Symmetric::Null),
        (
            proptest::sample::select(vec![128, 192, 256]),
            proptest::sample::select(vec![Ctr, Ofb, Cbc, Cfb, Ecb, Null])
        )
            .prop_map(|(key_bits, mode)| Symmetric::Aes { key_bits, mode }),
    ]
}

fn parameters() -> impl Strategy<Value = Parameters> {
    let rsa_scheme = prop_oneof![
        Just(RsaScheme::Null),
        Just(RsaScheme::RsaEs),
        hash().prop_map(RsaScheme::RsaSsa),
        hash().prop_map(RsaScheme::RsaPss),
        hash().prop_map(RsaScheme::Oaep),
    ];
    let ecc_scheme = prop_oneof![
        Just(EccScheme::Null),
        hash().prop_map(EccScheme::Ecdsa),
        hash().prop_map(EccScheme::Ecdh),
    ];
    let kdf = prop_oneof![
        Just(KdfScheme::Null),
        hash().prop_map(KdfScheme::Mgf1),
        hash().prop_map(KdfScheme::Kdf1Sp80056a),
        hash().prop_map(KdfScheme::Kdf2),
        hash().prop_map(KdfScheme::Kdf1Sp800108),
    ];
    let keyed_hash =
        prop_oneof![Just(KeyedHashScheme::Null), hash().prop_map(KeyedHashScheme::Hmac)];
    let key_bits = proptest::sample::select(vec![1024_u16, 2048, 3072, 4096]);
    let curve = proptest::sample::select(vec![EccCurve::P256, EccCurve::P384, EccCurve::P521]);
    prop_oneof![
        (symmetric(), rsa_scheme, key_bits, any::<u32>(), bounded(128)).prop_map(
            |(symmetric, scheme, key_bits, exponent, modulus)| Parameters::Rsa {
                symmetric,
                scheme,
                key_bits,
                exponent,
                modulus
            }
        ),
        (symmetric(), ecc_scheme, curve, kdf, bounded(32), bounded(32)).prop_map(
            |(symmetric, scheme, curve, kdf, x, y)| Parameters::Ecc {
                symmetric,
                scheme,
                curve,
                kdf,
                x,
                y
            }
        ),
        (keyed_hash, bounded(64))
            .prop_map(|(scheme, unique)| Parameters::KeyedHash { scheme, unique }),
    ]
}

fn public() -> impl Strategy<Value = Public> {
    (hash(), attributes(), any::<bool>(), parameters()).prop_map(
        |(name_algorithm, attributes, with_policy, parameters)| {
            let policy = if with_policy { name_algorithm.digest(&[]) } else { Vec::new() };
            let auth_policy = Bounded::new(&policy).unwrap();
            Public { name_algorithm, attributes, auth_policy, parameters }
        },
    )
}

fn name() -> impl Strategy<Value = Name> {
    (hash(), any::<u64>()).prop_map(|(hash, seed)| Name::of_public_area(hash, &seed.to_be_bytes()))
}

fn selections() -> impl Strategy<Value = PcrSelections> {
    let selection = (hash(), proptest::collection::vec(0_u8..24, 0..8))
        .prop_map(|(hash, indices)| PcrSelection::new(hash, &indices).unwrap());
    proptest::collection::vec(selection, 0..=16)
        .prop_map(|selections| PcrSelections::new(selections).unwrap())
}

fn attest() -> impl Strategy<Value = Attest> {
    let attested = prop_oneof![
        (name(), name())
            .prop_map(|(name, qualified_name)| Attested::Certify { name, qualified_name }),
        (selections(), bounded(64))
            .prop_map(|(selections, digest)| Attested::Quote { selections, digest }),
    ];
    let clock_info = (any::<u64>(), any::<u32>(), any::<u32>(), any::<bool>()).prop_map(
        |(clock, reset_count, restart_count, safe)| ClockInfo {
            clock,
            reset_count,
            restart_count,
            safe,
        },
    );
    (name(), bounded(66), clock_info, any::<u64>(), attested).prop_map(
        |(qualified_signer, extra_data, clock_info, firmware_version, attested)| Attest {
            qualified_signer,
            extra_data,
            clock_info,
            firmware_version,
            attested,
        },
    )
}

fn signature() -> impl Strategy<Value = Signature> {
    prop_oneof![
        (hash(), bounded(512)).prop_map(|(hash, signature)| Signature::RsaSsa { hash, signature }),
        (hash(), bounded(512)).prop_map(|(hash, signature)| Signature::RsaPss { hash, signature }),
        (hash(), bounded(66), bounded(66)).prop_map(|(hash, r, s)| Signature::Ecdsa { hash, r, s }),
    ]
}

proptest! {
    #[test]
    fn public_round_trips(public in public()) {
        prop_assert_eq!(Public::parse(&public.marshal()), Ok(public));
    }

    #[test]
    fn attest_round_trips(attest in attest()) {
        prop_assert_eq!(Attest::parse(&attest.marshal()), Ok(attest));
    }

    #[test]
    fn signature_round_trips(signature in signature()) {
        prop_assert_eq!(Signature::parse(&signature.marshal()), Ok(signature));
    }

    #[test]
    fn selections_round_trip(selections in selections()) {
        prop_assert_eq!(PcrSelections::parse(&selections.marshal()), Ok(selections));
    }

    #[test]
    fn spki_of_any_public_area_does_not_panic(public in public()) {
        let _ = public.to_spki_der();
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_written_back(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        for reprint in REPRINTS {
            if let Ok(printed) = reprint(&bytes) {
                prop_assert_eq!(&printed, &bytes);
            }
        }
    }

    /// Accepted bytes have one reading only: a flipped bit gives another value or none.
    #[test]
    fn a_changed_byte_is_refused_or_kept(index in 0..16_usize, offset in any::<proptest::sample::Index>(), xor in 1..=255_u8) {
        let (name, reprint) = fixtures().nth(index).unwrap();
        let mut bytes = data(name);
        let offset = offset.index(bytes.len());
        bytes[offset] ^= xor;
        if let Ok(printed) = reprint(&bytes) {
            prop_assert_eq!(printed, bytes);
        }
    }
}
