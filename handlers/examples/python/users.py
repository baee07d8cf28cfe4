# SPDX-License-Identifier: ISC
"""Users in a PostgreSQL table (users.c beside this folder has its form); shows
a pool of connections that is made once in each child. Needs asyncpg.

    save_user  params  {"name": "Ann", "email": "ann@example.org"}
               data    {"user_id": 1}
    get_user   params  {"user_id": 1}
               data    the row

The database is DATABASE_URL. Say final_codes = { NOT_FOUND, ALREADY_EXISTS } in
the blocks of both handlers: trying again is of no use.
"""
import asyncio
import os

import asyncpg
from avtomatika_worker import Worker

worker = Worker(worker_type="database")
pools: list = []  # one, made by main()


def retry(error: Exception) -> dict:
    """The database is away, or was lost on the way."""
    return {"status": "retry",
            "error": {"code": "DATABASE_ERROR", "message": str(error)}}


@worker.task("save_user")
async def save_user(params: dict) -> dict:
    """A new one; its address must be."""
    try:
        user_id = await pools[0].fetchval(
            "INSERT INTO users (name, email) VALUES ($1, $2) RETURNING id",
            params["name"], params["email"])
    except asyncpg.UniqueViolationError as e:
        return {"status": "failure",
                "error": {"code": "ALREADY_EXISTS", "message": str(e)}}
    except (OSError, asyncpg.PostgresConnectionError,
            asyncpg.InterfaceError) as e:
        return retry(e)
    return {"status": "success", "data": {"user_id": user_id}}


@worker.task("get_user")
async def get_user(params: dict) -> dict:
    """One, by id."""
    try:
        user = await pools[0].fetchrow("SELECT * FROM users WHERE id = $1",
                                       params["user_id"])
    except (OSError, asyncpg.PostgresConnectionError,
            asyncpg.InterfaceError) as e:
        return retry(e)
    if user is None:
        return {"status": "failure",
                "error": {"code": "NOT_FOUND", "message": "User not found"}}
    return {"status": "success", "data": dict(user)}


async def main() -> None:
    """One connection suffices: a child runs one task at a time."""
    pools.append(await asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=1, max_size=1))
    try:
        await worker.main()
    finally:
        await pools[0].close()


if __name__ == "__main__":
    asyncio.run(main())
