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
}
