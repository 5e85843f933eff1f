"""Connectors' secrets, read from their sealed rows."""

import psycopg

from application.ports import SecretRow
from domain.connector import Connector
from domain.errors import ServiceUnavailable
from infrastructure.secrets import EnvelopeVault


class PostgresCredentials:
    """Opens the secrets of a connector. Nothing is kept in the clear."""

    def __init__(self, database_url: str, vault: EnvelopeVault) -> None:
        self._database_url = database_url
        self._vault = vault

    def of(self, connector: Connector) -> dict[str, str]:
        """By field. Raises SecretUnreadable when they do not open, ServiceUnavailable when the database is away."""
        try:
            with psycopg.connect(self._database_url, connect_timeout=5) as connection:
                rows = connection.execute(
                    "SELECT connector_id, field, key_id, wrapped_key, ciphertext FROM connector_secrets"
                    " WHERE connector_id = %s",
                    (connector.connector_id,),
                ).fetchall()
        except psycopg.OperationalError as error:
            raise ServiceUnavailable("The database does not answer.") from error
        sealed = [SecretRow(*row) for row in rows]
        return self._vault.open(connector.tenant, connector.connector_id, sealed)
