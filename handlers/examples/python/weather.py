# SPDX-License-Identifier: ISC
"""Asks a weather service. Needs aiohttp.

    fetch_weather  params  {"city": "Oslo", "api_key": "..." (may be missing)}
                   data    {"city": ..., "temperature": ..., "conditions": ...}

The key is the one of the params, else WEATHER_API_KEY; it is part of the
address, so that is never shown. WEATHER_URL names another service with the
same answers.
"""
import asyncio
import os

import aiohttp
from avtomatika_worker import Worker

worker = Worker(worker_type="weather")


@worker.task("fetch_weather")
async def fetch_weather(params: dict) -> dict:
    """What is not 200 may be so later."""
    url = os.environ.get("WEATHER_URL", "https://api.weather.com/v1/current")
    query = {"city": params["city"],
             "key": params.get("api_key") or os.environ["WEATHER_API_KEY"]}
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, \
                session.get(url, params=query) as response:
            if response.status != 200:
                return {"status": "retry",
                        "error": {"code": "API_ERROR", "message":
                                  f"Weather API returned {response.status}"}}
            data = await response.json(content_type=None)
    except (aiohttp.ClientError, asyncio.TimeoutError) as e:
        return {"status": "retry",
                "error": {"code": "API_ERROR", "message":
                          f"cannot ask the service: {type(e).__name__}"}}
    return {"status": "success",
            "data": {"city": params["city"], "temperature": data["temp"],
                     "conditions": data["conditions"]}}


if __name__ == "__main__":
    asyncio.run(worker.main())
