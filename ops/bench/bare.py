"""The reference for requests: a minimal Flask app, under gunicorn like the web process.

POST /rows is one INSERT into a table with one index, GET /rows/<id> one SELECT by it. GET /document
returns what was PUT there.
"""

from flask import Flask, Response, jsonify, request
from psycopg_pool import ConnectionPool

from db.runtime.settings import settings

TABLE = "CREATE TABLE bare_rows (id bigserial PRIMARY KEY, quantity int, token text)"
INSERT = "INSERT INTO bare_rows (quantity, token) VALUES (%s, %s) RETURNING id"
SELECT = "SELECT id, quantity, token FROM bare_rows WHERE id = %s"


def create_app() -> Flask:
    """Create the app and its pool; gunicorn calls it after the fork."""
    app = Flask(__name__, static_folder=None)
    pool = ConnectionPool(
        settings().database_url, min_size=8, max_size=8, kwargs={"autocommit": True}, open=True
    )
    document = bytearray(b"{}")

    @app.post("/rows")
    def add_row() -> tuple[Response, int]:
        with pool.connection() as conn:
            given = [request.get_json()["quantity"], request.headers["Authorization"]]
            row = conn.execute(INSERT, given).fetchone()
        assert row is not None
        return jsonify(id=row[0]), 201

    @app.get("/rows/<int:id>")
    def get_row(id: int) -> Response:
        with pool.connection() as conn:
            row = conn.execute(SELECT, [id]).fetchone()
        assert row is not None
        return jsonify(id=row[0], quantity=row[1], token=row[2])

    @app.get("/document")
    def get_document() -> Response:
        return Response(bytes(document), mimetype="application/json")

    @app.put("/document")
    def put_document() -> Response:
        document[:] = request.get_data()
        return Response(status=204)

    return app
