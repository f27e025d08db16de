"""What serve_openai.sh asks by OpenAI's library. usage: serve_openai.py URL PID WANTED.jsonl"""
import asyncio
import json
import sys

import openai

URL, PID, WANTED = sys.argv[1:]
KEYS = {"base_url": URL + "/v1", "api_key": "none", "max_retries": 0}
BASE = "tiny"


def resident():
    """KiB of the server's memory."""
    with open("/proc/%s/status" % PID, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def check_calls(client):
    names = [model.id for model in client.models.list()]
    assert names[0] == BASE and len(names) == 17, names
    assert client.models.retrieve("many:p10").id == "many:p10"
    rule = {"model": BASE, "prompt": "the", "max_tokens": 8, "temperature": 0}
    answer = client.completions.create(**rule)
    text = answer.choices[0].text
    assert answer.usage.completion_tokens == 8 and answer.choices[0].finish_reason == "length" and answer.system_fingerprint
    assert "".join(piece.choices[0].text for piece in client.completions.create(**rule, stream=True)) == text
    assert client.completions.create(**rule, echo=True).choices[0].text == "the" + text
    found = client.completions.create(**rule, logprobs=3).choices[0].logprobs
    assert len(found.tokens) == len(found.token_logprobs) == len(found.text_offset) == 8 and len(found.top_logprobs[0]) == 3
    several = client.completions.create(**{**rule, "prompt": ["the", "is"], "n": 2, "temperature": 1}, seed=4)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    said = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "the"}]}]
    rule = {"model": "many:p12", "messages": said, "max_tokens": 8, "seed": 7}
    answer = client.chat.completions.create(**rule, logprobs=True, top_logprobs=2)
    message = answer.choices[0].message
    assert message.role == "assistant" and len(answer.choices[0].logprobs.content[0].top_logprobs) == 2
    pieces = list(client.chat.completions.create(**rule, stream=True, stream_options={"include_usage": True}))
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == message.content
    assert pieces[-1].usage == answer.usage
    with client.chat.completions.stream(**rule) as stream:
        stream.until_done()
        assert stream.current_completion_snapshot.choices[0].message.content == message.content
    again = [*said, message, {"role": "user", "content": "more"}]  # the library's own message goes back
    client.chat.completions.create(**{**rule, "messages": again})
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    client.chat.completions.create(**rule, tools=tools, tool_choice="auto")
    client.chat.completions.create(**rule, extra_body={"min_p": 0.1, "top_k": 5, "repetition_penalty": 1.1})


def check_errors(client):
    said = [{"role": "user", "content": "the"}]
    for kind, change in ((openai.NotFoundError, {"model": "nobody"}), (openai.BadRequestError, {"n": 1000}),
                         (openai.BadRequestError, {"response_format": {"type": "json_object"}}),
                         (openai.BadRequestError, {"messages": []})):
        try:
            client.chat.completions.create(**{"model": BASE, "messages": said, "max_tokens": 4, **change})
        except kind as error:
            assert error.body["message"], error
        else:
            raise AssertionError(change)


async def check_sixteen():
    """Every row of every prefix at the same time, whole and as streams."""
    with open(WANTED, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    client = openai.AsyncOpenAI(**KEYS)

    async def ask(row, stream):
        answer = await client.completions.create(model=row["id"], prompt=row["source"], max_tokens=24, temperature=0, stream=stream)
        if stream:
            return "".join([piece.choices[0].text async for piece in answer])
        return answer.choices[0].text

    for stream in (False, True):
        texts = await asyncio.gather(*(ask(row, stream) for row in rows))
        for row, text in zip(rows, texts):
            assert text == row["generated"], (row, text)
    await client.close()


async def check_memory():
    """Ten thousand requests, some of them broken off."""
    client = openai.AsyncOpenAI(**KEYS)
    room = asyncio.Semaphore(20)

    async def ask(i):
        async with room:
            rule = {"model": "many:p%d" % (10 + i % 16), "prompt": "the " * (i % 9), "max_tokens": 1 + i % 24, "seed": i}
            rule["prompt"] = rule["prompt"] or "a"
            if i % 5 != 0:
                await client.completions.create(**rule)
                return
            stream = await client.completions.create(**rule, stream=True)
            async for _ in stream:
                if i % 10 == 0:
                    break
            await stream.close()

    sizes = []
    for part in range(10):
        await asyncio.gather(*(ask(1000 * part + i) for i in range(1000)))
        sizes.append(resident())
    print("KiB of memory after each thousand requests: %s" % sizes)
    await client.close()
    assert sizes[9] <= sizes[1] + sizes[1] // 20 + 2048, sizes


check_calls(openai.OpenAI(**KEYS))
check_errors(openai.OpenAI(**KEYS))
asyncio.run(check_sixteen())
asyncio.run(check_memory())
