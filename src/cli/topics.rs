//! `haul help TOPIC`: what is worth a page of its own. The same texts are sections of the man page.

use super::value::Choice;

/// The topics: name, title of the section in the man page, text.
pub(super) const TOPICS: &[(&str, &str, &str)] = &[
    ("endpoints", "ENDPOINTS", include_str!("topics/endpoints.txt")),
    ("exit", "EXIT STATUS", include_str!("topics/exit.txt")),
    ("eof", "END OF FILE", include_str!("topics/eof.txt")),
    ("tls", "TLS", include_str!("topics/tls.txt")),
    ("units", "UNITS", include_str!("topics/units.txt")),
];

/// The text of a topic.
pub(super) fn text(name: &str) -> Option<&'static str> {
    TOPICS.iter().find(|(topic, ..)| *topic == name).map(|(.., text)| *text)
}

/// What may follow `haul help`.
pub(super) fn names() -> Choice<&'static str> {
    Choice(&[
        ("listen", "listen", ""),
        ("connect", "connect", ""),
        ("pipe", "pipe", ""),
        ("send-udp", "send-udp", ""),
        ("relay", "relay", ""),
        ("bench", "bench", ""),
        ("endpoints", "endpoints", ""),
        ("exit", "exit", ""),
        ("eof", "eof", ""),
        ("tls", "tls", ""),
        ("units", "units", ""),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_can_be_asked_for_and_fits_80_columns_of_a_man_page() {
        // man indents by 7
        for (name, _, text) in TOPICS {
            assert!(names().0.iter().any(|(known, ..)| known == name), "{name}");
            assert!(text.ends_with('\n') && !text.contains('\t'), "{name}");
            for line in text.lines() {
                assert!(line.chars().count() <= 73, "{name}: {line}");
                assert!(!line.ends_with(' '), "{name}: {line}");
            }
        }
    }
}
