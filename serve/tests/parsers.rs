//! The parsers that read the network before anybody is known.

use flate2::Compression;
use flate2::write::GzEncoder;
use gitmoor_serve::parsers::{
    Inflate, InflateError, Method, Route, RouteError, Service, Shown, Work, fetched, forwarded,
    route, shown,
};
use std::io::Write;

fn get(path: &str) -> Result<Route, RouteError> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    route(Method::Get, path, Some(query))
}

#[test]
fn for_whom_a_proxy_asks() {
    let told = |header: &str| forwarded(Some(header.as_bytes())).map(|ip| ip.to_string());
    assert_eq!(told("203.0.113.7").as_deref(), Some("203.0.113.7"));
    assert_eq!(
        told("9.9.9.9, ::ffff:203.0.113.7").as_deref(),
        Some("203.0.113.7")
    );
    assert_eq!(told("9.9.9.9,2001:db8::1 ").as_deref(), Some("2001:db8::1"));
    for nonsense in ["", "9.9.9.9,", "9.9.9.9, unknown", "9.9.9.9:80"] {
        assert_eq!(told(nonsense), None, "{nonsense}");
    }
    assert_eq!(forwarded(None), None);
}

#[test]
fn routes() {
    let Ok(Route::Advertise(path, service)) =
        get("/team/a%20b.git/info/refs?x=y&service=git-upload-pack")
    else {
        panic!("it is one");
    };
    assert_eq!(path.as_bytes(), b"team/a b.git");
    assert_eq!(service, Service::UploadPack);
    let Ok(Route::Serve(path, service)) = route(Method::Post, "/a.git/git-receive-pack", None)
    else {
        panic!("it is one");
    };
    assert_eq!(
        (path.as_bytes(), service),
        (&b"a.git"[..], Service::ReceivePack)
    );
    assert_eq!(get("/healthz"), Ok(Route::Healthz));
}

#[test]
fn nothing_leaves_the_namespace() {
    for path in [
        "/../a.git",
        "/a/../../b.git",
        "/%2e%2e/a.git",
        "/a%2fb.git",
        "/a%2Fb.git",
        "/a%00.git",
        "//a.git",
        "/a//b.git",
        "/./a.git",
        "",
        "/",
    ] {
        let asked = get(&format!("{path}/info/refs?service=git-upload-pack"));
        assert_eq!(asked, Err(RouteError::BadPath), "{path}");
        let asked = route(Method::Post, &format!("{path}/git-upload-pack"), None);
        assert_eq!(asked, Err(RouteError::BadPath), "{path}");
    }
}

#[test]
fn what_is_no_service() {
    let dumb = Err(RouteError::Dumb);
    assert_eq!(get("/a.git/info/refs"), dumb);
    assert_eq!(get("/a.git/HEAD"), dumb);
    assert_eq!(get("/a.git/objects/info/packs"), dumb);
    let archive = get("/a.git/info/refs?service=git-upload-archive");
    assert_eq!(archive, Err(RouteError::NoService));
    assert_eq!(get("/a.git"), Err(RouteError::NotFound));
    assert!(matches!(
        get("/a.git/git-upload-pack"),
        Err(RouteError::Method(_))
    ));
}

#[test]
fn what_a_header_shows() {
    assert_eq!(shown(None), Shown::Nothing);
    let token = format!("gmt_{}_{}", "0f".repeat(8), "ab".repeat(32));
    let Shown::Token {
        name: None,
        id,
        digest,
    } = shown(Some(format!("Bearer {token}").as_bytes()))
    else {
        panic!("it is one");
    };
    assert_eq!(id.to_string(), "0f".repeat(8));
    use base64::Engine;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("alice:{token}"));
    let known = Shown::Token {
        name: Some("alice".to_owned()),
        id,
        digest,
    };
    assert_eq!(shown(Some(format!("bAsIc {basic}").as_bytes())), known);
    let long = format!("Bearer {}", "a".repeat(5000));
    for nonsense in [
        "",
        "Basic",
        "Basic !!",
        "Basic YQ==",
        "Digest x",
        "Bearer x",
        &long,
        "Bearer \u{e9}",
    ] {
        assert_eq!(
            shown(Some(nonsense.as_bytes())),
            Shown::Nonsense,
            "{nonsense}"
        );
    }
}

fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

#[test]
fn a_clone_has_nothing() {
    let want = line("want 1234\n");
    let have = line("have 1234\n");
    let whole = |text: &str| fetched(text.as_bytes(), true);
    assert_eq!(
        whole(&format!("{want}0000{}", line("done\n"))),
        Some(Work::Clone)
    );
    assert_eq!(whole(&format!("{want}0000{have}")), Some(Work::Fetch));
    let fetch = format!("{}0001{want}", line("command=fetch"));
    assert_eq!(whole(&fetch), Some(Work::Clone));
    assert_eq!(whole(&format!("{fetch}{have}0000")), Some(Work::Fetch));
    assert_eq!(whole(&line("command=ls-refs\n")), Some(Work::Small));
    assert_eq!(whole("0000"), Some(Work::Small));
    // What is not all there tells nothing yet, and what is no line is git's to refuse.
    assert_eq!(fetched(want.as_bytes(), false), None);
    assert_eq!(fetched(&have.as_bytes()[..9], false), None);
    for garbled in ["zzzz", "0003", "-001"] {
        assert_eq!(whole(garbled), Some(Work::Clone), "{garbled}");
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

#[test]
fn what_was_compressed_comes_back() {
    let text: Vec<u8> = (0..100_000_u32)
        .flat_map(|at| format!("have {:040x}", at.wrapping_mul(2_654_435_761)).into_bytes())
        .collect();
    let packed = packed(&text);
    let mut inflate = Inflate::default();
    let mut found = Vec::new();
    for piece in packed.chunks(777) {
        found.extend(inflate.push(piece).expect("it is gzip"));
    }
    found.extend(inflate.finish().expect("it is whole"));
    assert_eq!(found, text);
    let mut cut = Inflate::default();
    cut.push(&packed[..packed.len() / 2]).expect("a beginning");
    assert!(cut.finish().is_err());
    assert!(Inflate::default().push(b"no gzip at all").is_err());
}

#[test]
fn a_bomb_is_refused_before_it_is_large() {
    let bomb = packed(&vec![b'0'; 50 << 20]);
    let mut inflate = Inflate::default();
    let mut made = 0;
    let refused = bomb
        .chunks(512)
        .find_map(|piece| match inflate.push(piece) {
            Ok(some) => {
                made += some.len();
                None
            }
            Err(error) => Some(error),
        });
    assert!(matches!(refused, Some(InflateError::Bomb)), "{refused:?}");
    assert!(made < 3 << 20, "{made}");
}

/// Blocks of gzip that hold nothing, and a byte now and then.
#[test]
fn what_unpacks_to_nothing_is_refused() {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let (nothing, one) = ([0, 0, 0, 0xff, 0xff], [0, 1, 0, 0xfe, 0xff, b'0']);
    let often = [nothing.repeat(1000), one.to_vec()].concat();
    for blocks in [nothing.repeat(1000), often] {
        let mut inflate = Inflate::default();
        inflate.push(&header).expect("a header");
        let refused = (0..1000).find_map(|_| inflate.push(&blocks).err());
        assert!(matches!(refused, Some(InflateError::Barren)), "{refused:?}");
    }
    // What cannot be packed grows a little.
    let mut seed = 1_u64;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    });
    let noise: Vec<_> = noise.take(4 << 20).collect();
    for level in [
        Compression::none(),
        Compression::fast(),
        Compression::best(),
    ] {
        let mut packer = GzEncoder::new(Vec::new(), level);
        packer.write_all(&noise).expect("memory");
        let mut inflate = Inflate::default();
        let mut made = inflate
            .push(&packer.finish().expect("memory"))
            .expect("sound");
        made.extend(inflate.finish().expect("sound"));
        assert!(made == noise);
    }
}
