//! What rustls calls by names of its own, in words for a person: lower case, no full stop, nothing to be escaped.
//!
//! Its enumerations grow; a name that is not known here is told as words, without what stands in it.

use std::fmt;

use rustls::{AlertDescription, InvalidMessage, PeerIncompatible, PeerMisbehaved};

/// RFC 8446, 6.2, and what RFC 5246, 7.2 had besides.
pub(super) fn alert_text(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let text = match alert {
        Alert::CloseNotify | Alert::UserCanceled => "it does not want to go on",
        Alert::UnexpectedMessage => "a message of ours came out of turn",
        Alert::BadRecordMac | Alert::DecryptionFailed => "what we sent did not decrypt",
        Alert::RecordOverflow => "a record of ours was too long",
        Alert::DecompressionFailure => "what we sent could not be decompressed",
        Alert::HandshakeFailure => "no parameters in common",
        Alert::InsufficientSecurity => "what we offer is not secure enough for it",
        Alert::ProtocolVersion => "no version of TLS in common",
        Alert::NoCertificate | Alert::CertificateRequired => "it wants a certificate of ours",
        Alert::BadCertificate => "our certificate is no good",
        Alert::UnsupportedCertificate => "our certificate is of a kind that it does not take",
        Alert::CertificateRevoked => "our certificate was revoked",
        Alert::CertificateExpired => "our certificate has expired",
        Alert::CertificateUnknown => "it does not accept our certificate",
        Alert::UnknownCA => "it does not know who issued our certificate",
        Alert::AccessDenied => "our certificate does not give access",
        Alert::IllegalParameter | Alert::DecodeError => "it did not understand what we sent",
        Alert::DecryptError => "a signature or a key of ours is wrong for it",
        Alert::ExportRestriction => "rules of export",
        Alert::InternalError => "something is wrong with itself",
        Alert::InappropriateFallback => "it speaks a newer version of TLS than we asked for",
        Alert::NoRenegotiation => "it does not negotiate again",
        Alert::MissingExtension => "it misses an extension of TLS",
        Alert::UnsupportedExtension => "it does not know an extension of TLS that we use",
        Alert::CertificateUnobtainable | Alert::BadCertificateHashValue => "it could not fetch our certificate",
        Alert::UnrecognisedName => "it has no such name",
        Alert::BadCertificateStatusResponse => "our proof that our certificate was not revoked is no good",
        Alert::UnknownPSKIdentity => "it does not know our shared key",
        Alert::NoApplicationProtocol => "no protocol of --alpn in common",
        Alert::EncryptedClientHelloRequired => "it wants an encrypted greeting",
        Alert::Unknown(number) => return format!("alert {number}"),
        other => return words(&other),
    };
    text.into()
}

/// What there is nothing in common in.
pub(super) fn uncommon(why: &PeerIncompatible) -> String {
    use PeerIncompatible as Why;
    let text = match why {
        Why::SupportedVersionsExtensionRequired
        | Why::ServerDoesNotSupportTls12Or13
        | Why::ServerTlsVersionIsDisabledByOurConfig
        | Why::Tls12NotOffered
        | Why::Tls12NotOfferedOrEnabled
        | Why::Tls13RequiredForQuic => "no version of TLS",
        Why::NoCipherSuitesInCommon => "no cipher",
        Why::NoKxGroupsInCommon | Why::KeyShareExtensionRequired | Why::NamedGroupsExtensionRequired => {
            "no way to exchange keys"
        }
        Why::NoSignatureSchemesInCommon
        | Why::NoCertificateRequestSignatureSchemesInCommon
        | Why::SignatureAlgorithmsExtensionRequired => "no kind of signature",
        Why::EcPointsExtensionRequired | Why::NoEcPointFormatsInCommon | Why::UncompressedEcPointsRequired => {
            "no way to write points of a curve"
        }
        Why::NullCompressionRequired => "it cannot do without compression",
        Why::ExtendedMasterSecretExtensionRequired => "it binds no secrets to their handshake",
        Why::IncorrectCertificateTypeExtension | Why::UnsolicitedCertificateTypeExtension => "no kind of certificate",
        Why::ServerSentHelloRetryRequestWithUnknownExtension => "it asks for what haul does not know",
        Why::ServerRejectedEncryptedClientHello(_) => "it does not take an encrypted greeting",
        other => return words(other),
    };
    text.into()
}

/// Which rule was broken, as far as that says something to a person.
pub(super) fn misbehaved(why: &PeerMisbehaved) -> String {
    use PeerMisbehaved as Why;
    let text = match why {
        Why::AttemptedDowngradeToTls12WhenTls13IsSupported => "somebody has changed its greeting to an older version",
        Why::IncorrectBinder | Why::SelectedInvalidPsk | Why::SelectedUnofferedPsk => {
            "a session that is not the one before"
        }
        Why::InvalidKeyShare | Why::MissingKeyShare | Why::WrongGroupForKeyShare | Why::OfferedDuplicateKeyShares => {
            "its key is no good"
        }
        Why::SignedKxWithWrongAlgorithm | Why::SignedHandshakeWithUnadvertisedSigScheme => {
            "it signed in a way that was not offered"
        }
        Why::SelectedUnofferedApplicationProtocol => "it chose a protocol that was not offered",
        Why::OfferedEmptyApplicationProtocol => "it offers a protocol without a name",
        Why::SelectedUnofferedCipherSuite
        | Why::SelectedUnofferedCompression
        | Why::SelectedUnofferedCertCompression
        | Why::SelectedUnofferedKxGroup
        | Why::SelectedUnusableCipherSuiteForVersion
        | Why::SelectedDifferentCipherSuiteAfterRetry
        | Why::SelectedTls12UsingTls13VersionExtension => "it chose what was not offered",
        Why::TooManyKeyUpdateRequests
        | Why::TooManyRenegotiationRequests
        | Why::TooManyWarningAlertsReceived
        | Why::TooManyEmptyFragments
        | Why::TooMuchEarlyDataReceived => "too much of what carries nothing",
        Why::ServerNameDifferedOnRetry | Why::ServerNameMustContainOneHostName | Why::DuplicateServerNameTypes => {
            "it asks for no name, or for several"
        }
        Why::IllegalMiddleboxChangeCipherSpec
        | Why::KeyEpochWithPendingFragment
        | Why::MessageInterleavedWithHandshakeMessage
        | Why::RejectedEarlyDataInterleavedWithHandshakeMessage => "a message in the middle of another",
        Why::IllegalTlsInnerPlaintext => "a record without contents",
        other => return words(other),
    };
    text.into()
}

/// What is wrong with a message.
pub(super) fn malformed(why: &InvalidMessage) -> String {
    use InvalidMessage as Why;
    let text = match why {
        Why::CertificatePayloadTooLarge | Why::HandshakePayloadTooLarge | Why::MessageTooLarge => {
            "a message is too long"
        }
        Why::MessageTooShort | Why::MissingData(_) => "a message ends too early",
        Why::TrailingData(_) => "a message goes on behind its end",
        Why::InvalidContentType | Why::UnexpectedMessage(_) => "a message of no known kind",
        Why::UnknownProtocolVersion => "a message of no known version",
        Why::InvalidServerName => "it asks for what is no name",
        Why::DuplicateExtension(_) => "an extension is there twice",
        Why::UnsupportedCompression => "it wants compression",
        Why::InvalidDhParams
        | Why::MissingKeyExchange
        | Why::UnsupportedCurveType
        | Why::UnsupportedKeyExchangeAlgorithm(_) => "its part of the exchange of keys is no good",
        other => return words(other),
    };
    text.into()
}

/// What webpki says of a chain of certificates where rustls has no name for it; told by its name, since its crate is not
/// one of ours.
pub(super) fn chain(name: &str) -> String {
    let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let known = CHAIN.iter().find(|(known, _)| *known == name).map(|(_, sentence)| (*sentence).to_string());
    known.unwrap_or_else(|| format!("its certificate is no good: {}", separated(name)))
}

const CHAIN: &[(&str, &str)] = &[
    ("CaUsedAsEndEntity", "its certificate is that of an authority, not of a host"),
    ("EndEntityUsedAsCa", "its certificate is signed by one that is no authority"),
    ("CertDistrusted", "its certificate is not to be trusted"),
    ("NameConstraintViolation", "whoever signed its certificate may not sign for that name"),
    ("PathLenConstraintViolated", "there are more authorities between than the root allows"),
    ("MaximumPathDepthExceeded", "its chain of certificates is too long"),
    ("MaximumPathBuildCallsExceeded", "its chain of certificates is too tangled"),
    ("MaximumSignatureChecksExceeded", "its chain of certificates is too tangled"),
    ("MaximumNameConstraintComparisonsExceeded", "its chain of certificates is too tangled"),
    ("UnsupportedCertVersion", "its certificate is not of version 3"),
    ("UnsupportedCriticalExtension", "its certificate demands what haul does not know"),
    ("UnsupportedNameType", "its certificate has a kind of name that haul does not know"),
    ("SignatureAlgorithmMismatch", "its certificate does not agree with itself on how it is signed"),
    ("EmptyEkuExtension", "its certificate is for no purpose"),
    ("ExtensionValueInvalid", "its certificate cannot be read"),
    ("InvalidNetworkMaskConstraint", "its certificate cannot be read"),
    ("InvalidSerialNumber", "its certificate cannot be read"),
    ("MalformedDnsIdentifier", "its certificate cannot be read"),
    ("MalformedExtensions", "its certificate cannot be read"),
    ("MalformedNameConstraint", "its certificate cannot be read"),
];

/// `BadCertificateStatusResponse` as words, without what is in brackets behind it.
pub(super) fn words(name: &impl fmt::Debug) -> String {
    separated(&format!("{name:?}"))
}

fn separated(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars().take_while(char::is_ascii_alphanumeric) {
        if c.is_uppercase() && text.ends_with(|last: char| last.is_lowercase() || last.is_ascii_digit()) {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_known_is_told_as_words() {
        assert_eq!(words(&InvalidMessage::IllegalEmptyList("x")), "illegal empty list");
        assert_eq!(chain("BadNews(Some(1))"), "its certificate is no good: bad news");
        assert_eq!(alert_text(AlertDescription::Unknown(200)), "alert 200");
    }

    #[test]
    fn no_alert_is_told_by_its_name() {
        for number in 0..=u8::MAX {
            let alert = AlertDescription::from(number);
            let told = alert_text(alert);
            let own = matches!(alert, AlertDescription::Unknown(_));
            assert_eq!(own, told == format!("alert {number}"), "{told}");
            assert!(own || told != words(&alert), "{told}");
        }
    }

    #[test]
    fn what_there_is_nothing_in_common_in_is_told_plainly() {
        assert_eq!(uncommon(&PeerIncompatible::SupportedVersionsExtensionRequired), "no version of TLS");
        assert_eq!(chain("CaUsedAsEndEntity"), "its certificate is that of an authority, not of a host");
        let why = PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported;
        assert_eq!(misbehaved(&why), "somebody has changed its greeting to an older version");
    }
}
