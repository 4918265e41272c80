//! `Debug` for messages that carry secrets: it names them and shows nothing.

use std::fmt;

impl fmt::Debug for crate::v1::Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Value(redacted)")
    }
}

impl fmt::Debug for crate::v1::value::Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Kind(redacted)")
    }
}

impl fmt::Debug for crate::v1::Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fields(redacted)")
    }
}

impl fmt::Debug for crate::v1::WebhookSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSink(redacted)")
    }
}

impl fmt::Debug for crate::v1::SmtpSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SmtpSink(redacted)")
    }
}

impl fmt::Debug for crate::v1::CreateTokenResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CreateTokenResponse").field("details", &self.details).finish_non_exhaustive()
    }
}

/// Messages of which nothing but the name may be printed.
macro_rules! redacted {
    ($($name:ident)*) => {
        $(impl fmt::Debug for crate::v1::$name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(redacted)"))
            }
        })*
    };
}

redacted! { InitRequest InitResponse UnsealRequest RekeyRequest RekeyResponse ConfirmRekeyRequest }
