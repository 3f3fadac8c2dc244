"""A server that speaks Modal's protocol, so that the real client can be tested without an account.

It answers every call with an empty message of the right kind, but for those that the client needs more of, and keeps
what it was asked. It runs no container: a spawned function has the outcome that the test sets.
"""

import asyncio
import hashlib
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from grpclib.server import Server
from modal_proto import api_grpc, api_pb2

LOG = "step 1 of 3: reward 0.5\n"


class ModalServer:
    """What the client asked, by name of the call.

    Attributes:
        calls: (name, request) in the order of arrival.
        uploaded: SHA-256 → content of the files that travelled.
        result: the exit code of the function; None while it runs.
        finished: no more logs come.
    """

    def __init__(self, result: int | None = 0) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.uploaded: dict[str, bytes] = {}
        self.result = result
        self.finished = threading.Event()

    def asked(self, name: str) -> list[Any]:
        return [request for called, request in self.calls if called == name]

    def files(self) -> dict[str, bytes]:
        """Path in the container → content, of all mounts."""
        return {
            file.filename: self.uploaded[file.sha256_hex]
            for request in self.asked("MountGetOrCreate")
            for file in request.files
        }

    def function(self) -> Any:
        (request,) = self.asked("FunctionCreate")
        if request.HasField("function_data") and request.function_data.ranked_functions:
            return request.function_data.ranked_functions[0].function
        return request.function

    def arguments(self) -> tuple[Any, ...]:
        """Positional arguments of the spawned function."""
        (request,) = self.asked("FunctionMap")
        return pickle.loads(request.pipelined_inputs[0].input.args)[0]

    async def answer(self, name: str, reply: Any, stream: Any) -> None:
        request = await stream.recv_message()
        self.calls.append((name, request))
        special = getattr(self, f"on_{name}", None)
        if special is None:
            await stream.send_message(reply())
        else:
            await special(request, stream, reply)

    async def on_AppCreate(self, request, stream, reply):
        await stream.send_message(reply(app_id="ap-1", app_page_url="https://modal.test/ap-1"))

    async def on_AppGetLogs(self, request, stream, reply):
        if not request.last_entry_id:
            item = api_pb2.TaskLogs(data=LOG, file_descriptor=api_pb2.FILE_DESCRIPTOR_STDOUT)
            await stream.send_message(reply(entry_id="1", items=[item]))
        while not self.finished.is_set():
            await asyncio.sleep(0.02)
        await stream.send_message(reply(entry_id="2", app_done=True))

    async def on_ImageGetOrCreate(self, request, stream, reply):
        image = f"im-{len(self.asked('ImageGetOrCreate'))}"
        done = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)
        await stream.send_message(reply(image_id=image, result=done, metadata=api_pb2.ImageMetadata()))

    async def on_EnvironmentGetOrCreate(self, request, stream, reply):
        settings = api_pb2.EnvironmentSettings(image_builder_version="2025.06")
        metadata = api_pb2.EnvironmentMetadata(name="main", settings=settings)
        await stream.send_message(reply(environment_id="en-1", metadata=metadata))

    async def on_MountPutFile(self, request, stream, reply):
        if request.WhichOneof("data_oneof") != "data":
            await stream.send_message(reply(exists=request.sha256_hex in self.uploaded))
            return
        self.uploaded[hashlib.sha256(request.data).hexdigest()] = request.data
        await stream.send_message(reply(exists=True))

    async def on_MountGetOrCreate(self, request, stream, reply):
        await stream.send_message(reply(mount_id=f"mo-{len(self.asked('MountGetOrCreate'))}"))

    async def on_VolumeGetOrCreate(self, request, stream, reply):
        metadata = api_pb2.VolumeMetadata(name=request.deployment_name)
        await stream.send_message(reply(volume_id=f"vo-{request.deployment_name}", metadata=metadata))

    async def on_SecretGetOrCreate(self, request, stream, reply):
        await stream.send_message(reply(secret_id=f"st-{request.deployment_name or 'given'}"))

    async def on_FunctionPrecreate(self, request, stream, reply):
        await stream.send_message(reply(function_id="fu-1", handle_metadata=self._handle()))

    async def on_FunctionCreate(self, request, stream, reply):
        response = reply(function_id="fu-1", handle_metadata=self._handle())
        if request.HasField("function_data"):  # Modal 1.6
            response.function_data.CopyFrom(request.function_data)
        elif "function_data" in reply.DESCRIPTOR.fields_by_name:
            response.function_data.ranked_functions.add(function=request.function)
        await stream.send_message(response)

    async def on_MountBatchedCheckExistence(self, request, stream, reply):
        missing = [digest for digest in request.sha256_hex_hashes if digest not in self.uploaded]
        await stream.send_message(reply(missing_sha256_hex_hashes=missing))

    def _handle(self):
        return api_pb2.FunctionHandleMetadata(
            function_name="train", function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION
        )

    async def on_FunctionMap(self, request, stream, reply):
        item = api_pb2.FunctionPutInputsResponseItem(idx=0, input_id="in-1")
        await stream.send_message(reply(function_call_id="fc-1", pipelined_inputs=[item]))

    async def on_FunctionGetOutputs(self, request, stream, reply):
        if self.result is None:
            await asyncio.sleep(0.05)
            await stream.send_message(reply(last_entry_id="0-0", num_unfinished_inputs=1))
            return
        result = api_pb2.GenericResult(
            status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS, data=pickle.dumps(self.result)
        )
        item = api_pb2.FunctionGetOutputsItem(
            idx=0, input_id="in-1", result=result, data_format=api_pb2.DATA_FORMAT_PICKLE
        )
        await stream.send_message(reply(outputs=[item], last_entry_id="1-0"))

    async def on_FunctionCallCancel(self, request, stream, reply):
        self.result = 143
        await stream.send_message(reply())

    async def on_AppClientDisconnect(self, request, stream, reply):
        self.finished.set()
        await stream.send_message(reply())


def _service(fake: ModalServer) -> Any:
    """Modal's service with every call answered by `fake`."""

    def unanswered(self):
        raise NotImplementedError

    methods = dict.fromkeys(api_grpc.ModalClientBase.__abstractmethods__, unanswered)
    service = type("Service", (api_grpc.ModalClientBase,), methods)()
    mapping = api_grpc.ModalClientBase.__mapping__(service)

    def handler(name, old):
        async def answer(stream):
            await fake.answer(name, old.reply_type, stream)

        return old._replace(func=answer)

    answers = {path: handler(path.rpartition("/")[2], old) for path, old in mapping.items()}
    service.__mapping__ = lambda: answers
    return service


@contextmanager
def serving(fake: ModalServer) -> Iterator[str]:
    """The address of a server that answers as `fake` does."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    port: list[int] = []

    async def start():
        server = Server([_service(fake)])
        await server.start("127.0.0.1", 0)
        port.append(server._server.sockets[0].getsockname()[1])
        started.set()
        return server

    def serve():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    started.wait()
    try:
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        fake.finished.set()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
