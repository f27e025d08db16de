# shellcheck shell=bash disable=SC2034,SC2154 # of what common.sh and its readers have
# Models for the tests of `chat`, after common.sh.

# The last letter of a turn begins its answer, by the template: a: letters without end; h: "Hi!"; x: an escape sequence;
# o: half a character. Special tokens: <s1> (257) ends an answer.
make_talker() {
    make_tiny
    python3 "$SOURCE/tests/support/make_table.py" "$model" "$work/talker" 61:62 62:63 63:64 64:C3 C3:A9 A9:61 \
        68:48 48:69 69:21 21:101 78:1B 1B:5D 5D:07 07:101 6F:E2 E2:82 82:101
    chat_tokenizer "$work/talker" '{% for m in messages %}<{{ m.role }}>{{ m.content }}
{% endfor %}{% if add_generation_prompt %}<assistant>{{ messages[-1].content[-1:] }}{% endif %}'
}

# A random model, whose answers depend on every token, with the tasks a and b in $both
make_random() {
    model=$work/random
    python3 "$SOURCE/tests/support/make_tiny.py" "$model" "$work/rows.jsonl" 128 4 288 8
    cp "$work/talker/tokenizer.json" "$model"
    chat_tokenizer "$model" '{% for m in messages %}<{{ m.role }}>{{ m.content }}
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}'
    rows=$work/rows.jsonl
    (cd "$work" && train_two_tasks)
    both=$work/run/checkpoint-2.h5
}
