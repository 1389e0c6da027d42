"""Fetches one torrent with libtorrent and tells about it in lines of JSON. Any line on its standard input lifts the
download limit; it ends when that input closes.

Stays on loopback: no DHT, no peer exchange, no local discovery, no port mapping.
"""

import argparse
import json
import sys
import threading
import urllib.request

import libtorrent as lt


NOT_GREETED = lt.peer_info.connecting | lt.peer_info.handshake


def say(kind, **fields):
    print(json.dumps({"type": kind, **fields}), flush=True)


def parameters(link, into):
    if link.startswith("magnet:"):
        add = lt.parse_magnet_uri(link)
    else:
        with urllib.request.urlopen(link, timeout=30) as answer:
            body = answer.read()
        add = lt.load_torrent_buffer(body)
    add.save_path = into
    return add


def settings(options):
    pack = {
        "listen_interfaces": options.address + ":0",
        "outgoing_interfaces": "",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "alert_mask": lt.alert.category_t.status_notification
        | lt.alert.category_t.error_notification
        | lt.alert.category_t.storage_notification,
    }
    if options.download_limit:
        pack["download_rate_limit"] = options.download_limit
    return pack


def tell_peers(handle):
    peers = [
        {"port": peer.ip[1], "greeted": not peer.flags & NOT_GREETED}
        for peer in handle.get_peer_info()
    ]
    say("peers", peers=peers, uploaded_bytes=handle.status().total_payload_upload)


def listen(session, ended):
    for _ in sys.stdin:
        session.apply_settings({"download_rate_limit": 0})
    ended.set()


def flush(session, handle):
    handle.flush_cache()
    for _ in range(200):
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.cache_flushed_alert):
                return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", required=True)
    parser.add_argument("--into", required=True)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--download-limit", type=int)
    options = parser.parse_args()

    session = lt.session(settings(options))
    ended = threading.Event()
    threading.Thread(target=listen, args=(session, ended), daemon=True).start()
    # The first alert says which port the system picked; listen_port() is right from then on.
    port = 0
    while port == 0:
        session.wait_for_alert(1000)
        port = session.listen_port()
    say("listening", port=port)

    handle = session.add_torrent(parameters(options.link, options.into))
    handle.unset_flags(lt.torrent_flags.auto_managed)
    handle.resume()
    done = False
    while not ended.is_set():
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_error_alert):
                say("error", message=alert.message())
                sys.exit(1)
            if isinstance(alert, lt.metadata_received_alert):
                say("metadata")
            if isinstance(alert, (lt.tracker_error_alert, lt.url_seed_alert)):
                say("trouble", message=alert.message())
        tell_peers(handle)
        if not done and handle.status().is_seeding:
            done = True
            flush(session, handle)
            say("complete")
    flush(session, handle)


main()
