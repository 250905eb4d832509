#!/bin/sh
# charset-normalizer 3.5.3 takes short Japanese lyrics in EUC-JP for Chinese, Korean or Thai text, and some in Shift-JIS for
# Korean. Every guess decodes without an error, so that lyrics become well-formed nonsense.
#
# Seen (EUC-JP): four lines -> big5, one line -> cp949, two lines -> cp874 and big5; (Shift-JIS): two lines -> cp949.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q charset-normalizer==3.5.3
"$folder/venv/bin/python" - <<'PY'
import charset_normalizer

# Lines made up for this script.
songs = [
    ["夜の窓に雨が降る", "きみの声がまだ聞こえる", "駅までの道をひとりで歩いた", "朝になれば忘れてしまうのに"],
    ["雨が降る夜に君を待つ"],
    ["春の風が吹いて", "桜の花が散っていく"],
    ["遠い空の下で", "同じ月を見ている"],
]
wrong = {"euc_jp": 0, "cp932": 0}
for lines in songs:
    for encoding in wrong:
        text = "\n".join(lines)
        best = charset_normalizer.from_bytes(text.encode(encoding)).best()
        wrong[encoding] += best is None or str(best) != text
        print(f"{len(lines)} lines in {encoding}: taken for {best and best.encoding}")
assert wrong["euc_jp"] == 4 and wrong["cp932"] == 1, wrong
PY
