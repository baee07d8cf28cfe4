# SPDX-License-Identifier: ISC
"""Reads public channels and groups; shows set-up that is done once, before the
first task, in each child.

    parse_telegram  params  {"channel": "durov", "limit": 10}
                    data    {"channel": ..., "messages": [...], "count": N}
    parse_vk        params  {"group": "vk", "limit": 10}
                    data    {"group": ..., "posts": [...], "count": N}

Telegram's public preview of a channel needs no key. VK needs one: VK_TOKEN.
TELEGRAM_URL and VK_URL name other servers with the same answers.
"""
import asyncio
import html.parser
import json
import os
import urllib.error
import urllib.parse
import urllib.request

from avtomatika_worker import Worker

TIMEOUT_S = 30
ANSWER_MAX = 8 * 1024 * 1024  # bytes
VK_VERSION = "5.199"

worker = Worker(worker_type="parser")


class ServiceError(Exception):
    """The service has not answered as it should; may work later."""


async def fetch(url: str) -> bytes:
    """Without holding the loop up. No error names the URL: it may hold a
    key."""
    def get() -> bytes:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:
                return reply.read(ANSWER_MAX)
        except urllib.error.HTTPError as e:
            raise ServiceError(f"it answered {e.code}") from None
        except OSError as e:
            raise ServiceError(f"no answer: {e}") from None

    return await asyncio.to_thread(get)


class Preview(html.parser.HTMLParser):
    """The messages of a channel's preview page."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list = []
        self.depth = 0  # inside a message's text, counted in <div>

    def handle_starttag(self, tag, attrs):
        """A message begins, or its text, or tells when it was sent."""
        values = dict(attrs)
        classes = (values.get("class") or "").split()
        if "data-post" in values:
            self.messages.append({"id": values["data-post"], "text": "",
                                  "date": None})
        elif self.depth and tag == "div":
            self.depth += 1
        elif self.depth and tag == "br":
            self.messages[-1]["text"] += "\n"
        elif self.messages and "tgme_widget_message_text" in classes:
            self.depth = 1
        elif self.messages and tag == "time" and "datetime" in values:
            self.messages[-1]["date"] = values["datetime"]

    def handle_endtag(self, tag):
        """A message's text may have ended."""
        if self.depth and tag == "div":
            self.depth -= 1

    def handle_data(self, data):
        """Text, of a message or not."""
        if self.depth:
            self.messages[-1]["text"] += data


class TelegramParser:
    """Public channels."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def get_channel_messages(self, channel: str, limit: int) -> list:
        """The newest ones, oldest first."""
        page = Preview()
        name = urllib.parse.quote(channel, safe="")
        page.feed((await fetch(f"{self.url}/s/{name}")).decode("utf-8"))
        return page.messages[-limit:]


class VKParser:
    """Walls of groups."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    async def get_wall(self, group: str, limit: int) -> list:
        """The newest ones, newest first."""
        query = urllib.parse.urlencode({
            "domain": group, "count": limit, "v": VK_VERSION,
            "access_token": self.token})
        answer = json.loads(await fetch(f"{self.url}/method/wall.get?{query}"))
        if "error" in answer:
            raise ServiceError(answer["error"].get("error_msg", "no reason"))
        return [{"id": item["id"], "text": item["text"], "date": item["date"]}
                for item in answer["response"]["items"]]


parsers: dict = {}  # made once, by main()


def retry(error: ServiceError) -> dict:
    """What may work later."""
    return {"status": "retry",
            "error": {"code": "API_ERROR", "message": str(error)}}


@worker.task("parse_telegram")
async def parse_telegram(params: dict) -> dict:
    """Messages of a channel."""
    channel = params["channel"]
    try:
        messages = await parsers["telegram"].get_channel_messages(
            channel, params.get("limit", 100))
    except ServiceError as e:
        return retry(e)
    return {"status": "success", "data": {
        "channel": channel, "messages": messages, "count": len(messages)}}


@worker.task("parse_vk")
async def parse_vk(params: dict) -> dict:
    """Posts of a group."""
    group = params["group"]
    try:
        posts = await parsers["vk"].get_wall(group, params.get("limit", 100))
    except ServiceError as e:
        return retry(e)
    return {"status": "success", "data": {
        "group": group, "posts": posts, "count": len(posts)}}


async def main() -> None:
    """Set-up, once in each child; then tasks."""
    parsers["telegram"] = TelegramParser(
        os.environ.get("TELEGRAM_URL", "https://t.me"))
    parsers["vk"] = VKParser(
        os.environ.get("VK_URL", "https://api.vk.com"),
        os.environ.get("VK_TOKEN", ""))
    print("parsers are set up")
    await worker.main()


if __name__ == "__main__":
    asyncio.run(main())
