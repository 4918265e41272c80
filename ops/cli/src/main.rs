//! Scaffold.
mod dotenv; mod exit; mod input; mod journal; mod output; mod settings; mod transfer; mod value;
fn main() {}
