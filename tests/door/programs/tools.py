# mypy: ignore-errors
# ruff: noqa: T201
"""A model that calls functions: the loop, and the calls as they are streamed."""

import asyncio
import json
import os

from openai import AsyncOpenAI

MODEL = "gemini-2.5-flash"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]


def get_weather(city: str) -> str:
    return json.dumps({"city": city, "celsius": len(city)})


async def main() -> None:
    async with AsyncOpenAI(base_url=os.environ["ANYFAST_BASE_URL"], api_key=os.environ["ANYFAST_API_KEY"]) as client:
        messages = [{"role": "user", "content": "What is the weather in Paris and in Rome?"}]
        completion = await client.chat.completions.create(
            model=MODEL, messages=messages, tools=TOOLS, tool_choice="auto"
        )
        message = completion.choices[0].message
        print(completion.choices[0].finish_reason, message)
        messages.append(message)
        for call in message.tool_calls or []:
            arguments = json.loads(call.function.arguments)
            print(call.id, call.type, call.function.name, arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": get_weather(**arguments)})
        completion = await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
        print(completion.choices[0].message.content)

        calls: dict[int, dict[str, str]] = {}
        stream = await client.chat.completions.create(
            model=MODEL, messages=messages[:1], tools=TOOLS, stream=True, parallel_tool_calls=True
        )
        async for chunk in stream:
            for choice in chunk.choices:
                for piece in choice.delta.tool_calls or []:
                    call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                    call["id"] += piece.id or ""
                    call["name"] += piece.function.name or ""
                    call["arguments"] += piece.function.arguments or ""
        print(calls)

        async with client.chat.completions.stream(model=MODEL, messages=messages[:1], tools=TOOLS) as events:
            async for event in events:
                if event.type == "tool_calls.function.arguments.delta":
                    print(event.type, event.name, event.index, event.arguments, event.arguments_delta)
                elif event.type != "chunk":
                    print(event)
            final = await events.get_final_completion()
        for call in final.choices[0].message.tool_calls:
            print(call.id, call.function.name, call.function.parsed_arguments)


asyncio.run(main())
