//! Where alerts arrive in tests: an HTTP server and a mail server on a free port, as plain as can be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};

/// How long a test waits for something to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Post {
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Post {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// A server that takes what it is sent, and answers when it is told to.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    arrived: Mutex<mpsc::UnboundedReceiver<Post>>,
    status: Arc<watch::Sender<Option<u16>>>,
}

impl Receiver {
    /// Answers every POST with 200.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn http() -> Receiver {
        Receiver::start(serve_http).await
    }

    /// Takes every mail.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn smtp() -> Receiver {
        Receiver::start(serve_smtp).await
    }

    async fn start<F>(serve: fn(TcpStream, mpsc::UnboundedSender<Post>, watch::Receiver<Option<u16>>) -> F) -> Receiver
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (sender, arrived) = mpsc::unbounded_channel();
        let (status, answers) = watch::channel(Some(200));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone(), answers.clone()));
            }
        });
        Receiver { address, arrived: Mutex::new(arrived), status: Arc::new(status) }
    }

    /// From now on every request is answered so; `None` leaves it without an answer until this is called again.
    pub fn answer(&self, status: Option<u16>) {
        self.status.send_replace(status);
    }

    /// The next request, in the order of arrival.
    ///
    /// # Panics
    /// When none arrives in time.
    pub async fn next(&self) -> Post {
        let mut arrived = self.arrived.lock().await;
        let next = tokio::time::timeout(PATIENCE, arrived.recv()).await;
        next.expect("something arrives in time").expect("the server runs on")
    }

    /// The next request whose body holds `text`.
    ///
    /// # Panics
    /// When none arrives in time.
    pub async fn next_with(&self, text: &str) -> Post {
        loop {
            let post = self.next().await;
            if post.body.contains(text) {
                return post;
            }
        }
    }
}

async fn serve_http(
    stream: TcpStream,
    arrived: mpsc::UnboundedSender<Post>,
    mut answers: watch::Receiver<Option<u16>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut post = Post { headers, body: String::new() };
        let mut body = vec![0; post.header("content-length").parse().unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        post.body = String::from_utf8_lossy(&body).into_owned();
        let _ = arrived.send(post);
        let status = answers.wait_for(Option::is_some).await.map_or(200, |status| status.unwrap_or(200));
        stream.write_all(format!("HTTP/1.1 {status} x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
    }
}

async fn serve_smtp(
    stream: TcpStream,
    arrived: mpsc::UnboundedSender<Post>,
    _answers: watch::Receiver<Option<u16>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test ready\r\n").await?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let answer = match line.get(..4).unwrap_or(line).to_ascii_uppercase().as_str() {
            "MAIL" | "RCPT" => {
                headers.push(line.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap_or_default());
                "250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut body = String::new();
                while !body.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut body).await? == 0 {
                        return Ok(());
                    }
                }
                // Long lines were broken on the way: put them together again.
                let _ = arrived.send(Post { headers: std::mem::take(&mut headers), body: body.replace("=\r\n", "") });
                "250 taken\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}
