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

impl fmt::Debug for crate::v1::unwrap_response::Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Contents(redacted)")
    }
}

impl fmt::Debug for crate::v1::CreateTokenResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CreateTokenResponse").field("details", &self.details).finish_non_exhaustive()
    }
}

macro_rules! redacted {
    ($($name:ident $(shows $($field:ident),+)?;)*) => {
        $(impl fmt::Debug for crate::v1::$name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.debug_struct(stringify!($name))$($(.field(stringify!($field), &self.$field))+)?.finish_non_exhaustive()
            }
        })*
    };
}

redacted! { InitRequest; InitResponse; UnsealRequest; RekeyRequest; RekeyResponse; ConfirmRekeyRequest; }

redacted! {
    WrapToken shows accessor, about;
    LoginPasswordRequest;
    LoginMachineRequest shows role_id;
    LoginJwtRequest shows issuer;
    LoginResponse shows details;
    CreateUserRequest shows name;
    SetPasswordRequest shows name;
    EnrolTotpResponse;
    ConfirmTotpRequest shows name;
    IssueSecretIdResponse shows details;
    UnwrapRequest;
    WrapRequest shows about;
    UnwrapResponse shows about, created_by, contents;
}

#[cfg(test)]
mod tests {
    use crate::v1;

    #[test]
    fn what_is_wrapped_and_what_comes_out_is_not_printed() {
        let wrap = v1::WrapRequest { about: "a letter".into(), contents: "hunter2".into(), ttl_ms: 1 };
        let contents = Some(v1::unwrap_response::Contents::Given("hunter2".into()));
        let printed = format!("{wrap:?} {:?}", v1::UnwrapResponse { contents, ..Default::default() });
        assert!(printed.contains("a letter") && printed.contains("redacted") && !printed.contains("hunter2"), "{printed}");
        // Bytes are printed as text or as numbers.
        assert!(!printed.contains("104, 117"), "{printed}");
    }
}
