# Refuse if there are findings. Without findings, promote only what has been measured.
if [ -s "$FINDINGS" ]; then
  echo "**Refuse: $(paste -s -d , "$FINDINGS")**" >> "$GITHUB_STEP_SUMMARY"
  exit 1
fi
test -f candidate.json
echo "**Promote**" >> "$GITHUB_STEP_SUMMARY"
