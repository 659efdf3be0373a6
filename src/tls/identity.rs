//! Whose a certificate is. Only for certificates that have been verified, or are one's own: nothing is checked here.

use super::der::{Values, tag};

/// `subjectAltName` and `commonName`, in DER.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The optional parts of a certificate that stand in it by number: its version, and its extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// The alternative names that are text: a mail address, a host name, a URI.
const TEXT: [u8; 3] = [0x81, 0x82, 0x86];

/// The longest name that a client may have by its certificate, in bytes.
const LONGEST: usize = 255;

/// The one name by which the owner of a certificate is known: its first alternative name that is a host, a mail address or a URI, or
/// else its common name. None if it has neither, or one with control characters or of more than 255 bytes.
pub(crate) fn own_name(certificate: &[u8]) -> Option<String> {
    let name = names_of(certificate).into_iter().next()?;
    let is_plain = (1..=LONGEST).contains(&name.len()) && !name.chars().any(char::is_control);
    is_plain.then_some(name)
}

/// All alternative names that are text, or else the common name.
pub(crate) fn names_of(certificate: &[u8]) -> Vec<String> {
    let Some((subject, extensions)) = parts(certificate) else { return Vec::new() };
    let alternative = alternative_names(extensions).unwrap_or_default();
    if alternative.is_empty() { common_name(subject).into_iter().collect() } else { alternative }
}

/// The subject and the extensions.
fn parts(certificate: &[u8]) -> Option<(Values<'_>, Values<'_>)> {
    let mut whole = Values(Values(certificate).next_of(tag::SEQUENCE)?);
    let mut signed = Values(whole.next_of(tag::SEQUENCE)?);
    signed.next_of(VERSION);
    // The serial number, the algorithm, the issuer and the time.
    for _ in 0..4 {
        signed.next()?;
    }
    let subject = Values(signed.next_of(tag::SEQUENCE)?);
    let extensions = signed.find(|(tag, _)| *tag == EXTENSIONS).map_or(&[][..], |(_, content)| content);
    Some((subject, Values(Values(extensions).next_of(tag::SEQUENCE).unwrap_or_default())))
}

fn alternative_names(extensions: Values<'_>) -> Option<Vec<String>> {
    let value = extensions.filter(|(tag, _)| *tag == tag::SEQUENCE).find_map(|(_, extension)| {
        let mut extension = Values(extension);
        let is_wanted = extension.next_of(tag::OID)? == ALTERNATIVE_NAMES;
        extension.next_of(tag::BOOLEAN);
        extension.next_of(tag::OCTETS).filter(|_| is_wanted)
    })?;
    let names = Values(Values(value).next_of(tag::SEQUENCE)?).filter(|(tag, _)| TEXT.contains(tag));
    Some(names.filter_map(|(_, name)| text(name)).collect())
}

fn common_name(subject: Values<'_>) -> Option<String> {
    let sets = subject.filter(|(tag, _)| *tag == tag::SET);
    sets.flat_map(|(_, set)| Values(set)).find_map(|(_, attribute)| {
        let mut attribute = Values(attribute);
        let is_wanted = attribute.next_of(tag::OID)? == COMMON_NAME;
        let (kind, value) = attribute.next()?;
        if is_wanted && [tag::UTF8, tag::PRINTABLE, tag::IA5].contains(&kind) { text(value) } else { None }
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_name: Option<&str>, alternative: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Group of fits");
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = alternative;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_first_alternative_name_that_is_text_counts_more_than_the_common_name() {
        let host = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let ip = SanType::IpAddress([127, 0, 0, 1].into());
        let mail = SanType::Rfc822Name("alice@example".try_into().unwrap());
        for (common, alternative, name) in [
            (Some("alice"), vec![], Some("alice")),
            (Some("Ålice Müller"), vec![], Some("Ålice Müller")),
            (Some("alice"), vec![host("fit.example"), host("other.example")], Some("fit.example")),
            (Some("alice"), vec![ip.clone(), mail.clone()], Some("alice@example")),
            (Some("alice"), vec![ip.clone()], Some("alice")),
            (None, vec![SanType::URI("spiffe://example/fit".try_into().unwrap())], Some("spiffe://example/fit")),
            (None, vec![], None),
            (Some("a\nb"), vec![], None),
            (Some(&"x".repeat(256)), vec![], None),
        ] {
            assert_eq!(own_name(&certificate(common, alternative)).as_deref(), name, "{common:?}");
        }
    }

    /// Whatever the bytes are, nothing is read beyond their end.
    #[test]
    fn what_is_no_certificate_has_no_name() {
        let whole = certificate(Some("alice"), vec![]);
        for length in 0..whole.len() {
            assert_eq!(own_name(&whole[..length]), None, "{length}");
            let mut changed = whole.clone();
            for byte in [0, 0x30, 0x7f, 0x83, 0x84, 0xff] {
                changed[length] = byte;
                let _ = own_name(&changed);
            }
        }
    }
}
