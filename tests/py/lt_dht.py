"""A BitTorrent DHT of three libtorrent nodes on loopback, one of which fetches a torrent of which it knows the infohash
alone. Ends when it is complete.

In the real DHT there is always a node whose id shares many bits with an infohash, and announces go only there. Three nodes
with random ids are too few for that, so these get ids beside the infohash.
"""

import argparse
import json
import os
import time

import libtorrent as lt


ASKS_EVERY_S = 10


def say(kind, **fields):
    print(json.dumps({"type": kind, **fields}), flush=True)


def node(infohash, port, entrance):
    session = lt.session(
        {
            "listen_interfaces": f"127.0.0.1:{port}",
            "dht_bootstrap_nodes": entrance,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "allow_multiple_connections_per_ip": True,
            "dht_enforce_node_id": False,
            "dht_ignore_dark_internet": False,
            "dht_prefer_verified_node_ids": False,
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "alert_mask": lt.alert.category_t.dht_notification,
        }
    )
    own_id = infohash[:17] + os.urandom(3)
    session.load_state({b"dht state": {b"node-id": [own_id + bytes([127, 0, 0, 1])]}})
    session.apply_settings({"enable_dht": True})
    return session


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--infohash", required=True)
    parser.add_argument("--into", required=True)
    parser.add_argument("--port", type=int, required=True, help="of the node by which all enter")
    parser.add_argument("--patience-s", type=int, default=150)
    options = parser.parse_args()

    infohash, entrance = bytes.fromhex(options.infohash), f"127.0.0.1:{options.port}"
    nodes = [node(infohash, options.port, ""), node(infohash, 0, entrance), node(infohash, 0, entrance)]
    add = lt.parse_magnet_uri("magnet:?xt=urn:btih:" + options.infohash)
    add.save_path = options.into
    handle = nodes[-1].add_torrent(add)
    began = time.monotonic()
    asked = began
    while time.monotonic() < began + options.patience_s:
        for session in nodes:
            for alert in session.pop_alerts():
                if isinstance(alert, lt.dht_announce_alert):
                    say("announce", after_s=round(time.monotonic() - began), message=alert.message())
        if handle.status().is_seeding:
            handle.flush_cache()
            nodes[-1].pause()
            say("complete")
            return
        # A client asks every quarter of an hour. One that asks before it was answered is never answered.
        if time.monotonic() > asked + ASKS_EVERY_S:
            asked = time.monotonic()
            handle.force_dht_announce()
        nodes[-1].wait_for_alert(500)
    say("error", message="it was not found, or did not come")
    raise SystemExit(1)


main()
