"""A real gRPC server with the health service, in plain and over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(slots=True)
class GrpcServer:
    """The server, and the metadata that each call brought."""

    health: Any
    port: int
    metadata: list[dict[str, str]] = field(default_factory=list)


class _Seen(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpcio has no types
    def __init__(self, metadata: list[dict[str, str]]) -> None:
        self.metadata = metadata

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        self.metadata.append({str(key): str(value) for key, value in details.invocation_metadata})
        return await continuation(details)


@asynccontextmanager
async def grpc_server(certificate: tuple[bytes, bytes] | None = None) -> AsyncIterator[GrpcServer]:
    """Serve until the block ends: the server and `shop.Checkout` are well, `shop.Broken` is not."""
    metadata: list[dict[str, str]] = []
    server = grpc.aio.server(interceptors=[_Seen(metadata)])
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", SERVING)
    await servicer.set("shop.Checkout", SERVING)
    await servicer.set("shop.Broken", NOT_SERVING)
    if certificate:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([certificate]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield GrpcServer(servicer, port, metadata)
    finally:
        await server.stop(None)
