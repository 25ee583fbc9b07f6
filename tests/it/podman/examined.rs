//! What doctor fetches from inside its frame: through the broker, with the machine's certificates, from a host of this
//! machine that stands for one of a group.

use std::fs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use mimir::access::certificate::{self, Certificate};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::support::{Engine, World, skip};

const TEST: &str = "doctor's fetch from inside";
/// Where an entry without a port is asked over HTTPS.
const HTTPS: u16 = 443;

/// A web server of this machine, at an address that a frame may be allowed. Ends when it is dropped.
struct Host {
    address: IpAddr,
    _threads: Runtime,
}

impl Host {
    fn start(certificate: &Certificate, address: IpAddr) -> Result<Self, String> {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let threads = threads.map_err(|error| error.to_string())?;
        let listener = threads
            .block_on(TcpListener::bind((address, HTTPS)))
            .map_err(|error| format!("{address}:{HTTPS} cannot be listened on: {error}"))?;
        threads.spawn(serve(listener, TlsAcceptor::from(certificate.config.clone())));
        Ok(Self { address, _threads: threads })
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        open.spawn(answer(stream, acceptor.clone()));
    }
}

/// One answer. A client that does not believe the certificate goes before it.
async fn answer(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    if stream.read(&mut [0; 4096]).await? == 0 {
        return Ok(());
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await?;
    stream.shutdown().await
}

/// The address with which this machine would reach others. Nothing is sent.
fn own_address() -> Result<IpAddr, String> {
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|error| error.to_string())?;
    let found = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    found.map(|own| own.ip()).map_err(|error| format!("this machine has no address but loopback: {error}"))
}

/// A certificate for that address, and its text.
fn made_for(folder: &Path, address: IpAddr) -> (Certificate, String) {
    let made = certificate::load_or_make(folder, vec![address.to_string()]).expect("a certificate");
    (made, fs::read_to_string(folder.join("certificate.pem")).expect("its text"))
}

/// What doctor says of the list.
fn found(world: &World) -> Value {
    let report = world.mimir(&["doctor", "--json"]).json();
    let checks = report["checks"].as_array().unwrap_or_else(|| panic!("no checks: {report}"));
    let about = checks.iter().find(|check| check["id"] == "network.allow");
    about.unwrap_or_else(|| panic!("it was not tried: {report:#}")).clone()
}

#[test]
fn doctor_fetches_from_inside_and_says_whose_certificate_is_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = own_address().and_then(|address| {
        let (made, text) = made_for(&folder.path().join("host"), address);
        Host::start(&made, address).map(|host| (host, text))
    });
    let (host, believed) = match started {
        Ok(started) => started,
        Err(why) => return skip(TEST, &why),
    };
    let (_, strange) = made_for(&folder.path().join("another"), host.address);
    for engine in [Engine::Rootful, Engine::Rootless] {
        match World::new(engine) {
            Ok(mut world) => examine(&mut world, host.address, &believed, &strange),
            Err(why) => skip(&format!("{TEST}, {engine:?}"), &why),
        }
    }
}

fn examine(world: &mut World, host: IpAddr, believed: &str, strange: &str) {
    let bundle = world.root.join("machine.crt");
    world.set_env("SSL_CERT_FILE", &bundle.display().to_string());
    let config = world.home.join("config.yaml");
    fs::write(&config, format!("frames:\n  allow: [\"{host}\"]\n")).expect("written");
    std::os::unix::fs::chown(&config, Some(world.uid()), None).expect("the user's own file");

    // As behind a proxy that looks into everything, on a machine that was not told to believe it.
    fs::write(&bundle, strange).expect("written");
    let refused = found(world);
    assert_eq!(refused["outcome"], "warning", "{refused}");
    let (said, fix) = (refused["found"].as_str().unwrap_or("?"), refused["fix"].as_str().unwrap_or("?"));
    assert!(said.starts_with(&format!("{host}: ")) && said.contains("certificate"), "{refused}");
    assert!(fix.contains("update-ca-certificates"), "{refused}");

    // It was told: doctor's next frame believes what the machine believes.
    fs::write(&bundle, believed).expect("written");
    let fetched = found(world);
    assert_eq!(fetched["found"], format!("{host} answer"), "{fetched}");
    assert_eq!(fetched["outcome"], "ok", "{fetched}");

    // And what does not answer is no matter of certificates.
    let nobody = "nobody.invalid";
    fs::write(&config, format!("frames:\n  allow: [\"{host}\", \"{nobody}\"]\n")).expect("written");
    let _ = world.mimir(&["serve", "--stop"]).ok();
    let away = found(world);
    let (said, fix) = (away["found"].as_str().unwrap_or("?"), away["fix"].as_str().unwrap_or("?"));
    assert!(said.starts_with(&format!("{nobody}: ")), "{away}");
    assert!(said.ends_with(&format!("({host} answer)")), "{away}");
    assert!(fix.contains(&format!("curl -v https://{nobody}/")), "{away}");
}
