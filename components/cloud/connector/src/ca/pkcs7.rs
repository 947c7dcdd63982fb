//! Certificates without a signature around them: the degenerate `SignedData` of RFC 5652, section
//! 5, that EST answers with (RFC 7030, 4.1.3 and 4.2.3).

use crate::asn1::{element, tag};

/// id-signedData, 1.2.840.113549.1.7.2
const SIGNED_DATA: [u8; 11] = [tag::OID, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];
/// id-data, 1.2.840.113549.1.7.1
const DATA: [u8; 11] = [tag::OID, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];

/// A certs-only message with the certificates in the order given: readers take the first of an
/// enrolment's answer for the new one, so they are not sorted as a SET OF would be.
pub fn certs_only(certificates: &[&[u8]]) -> Vec<u8> {
    let empty_set = element(tag::SET, &[]);
    let signed_data = element(
        tag::SEQUENCE,
        &[
            &element(tag::INTEGER, &[&[1]]),
            &empty_set,
            &element(tag::SEQUENCE, &[&DATA]),
            &element(tag::CONTEXT_0, certificates),
            &empty_set,
        ],
    );
    element(tag::SEQUENCE, &[&SIGNED_DATA, &element(tag::CONTEXT_0, &[&signed_data])])
}
