"""The words of the page, in English and in Chinese."""

from collections.abc import Mapping, Sequence
from typing import Literal

from everlong.compare.figures import Figures, RunFigures
from everlong.compare.verdict import Finding, Interval, conclude
from everlong.wording import bytes_text

Language = Literal["en", "zh"]

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "lang": "en",
        "eyebrow": "Everlong · comparison",
        "title": "Which model for what",
        "lead": "{models} learned the same {tokens} of text ({tokenizer}), {budget} each, with {seeds}; then each read "
        "{n_bytes} bytes that none had seen.",
        "minutes": "{n:g} min",
        "steps": "{n:,} updates",
        "trillions": "{n:g} trillion operations",
        "seed": "seed {seeds}",
        "seeds": "seeds {seeds}",
        "tokens": "{n:,} tokens",
        "list": ", ",
        "and": " and ",
        "named": "{name} ({value})",
        "verdict": "Which to take for what",
        "rule": "The rule: a figure has a value from each seed, or from each round of measuring speed. Its interval is "
        "that of the mean at 95 % (Student's t). A model is ahead where its interval overlaps no other one's; else it "
        "is a tie. One seed has no interval and cannot decide. Bytes are counted and have no spread.",
        "quality": "Quality",
        "quality-note": "Bits per byte of unseen text, with the memory carried along: fewer are better. Dots are "
        "seeds, bars the intervals of their means.",
        "places": "Along a document",
        "places-note": "Bits per byte by how many tokens were read before, means over seeds. Solid: with its memory. "
        "Dashed: with the memory emptied at every {chunk} tokens.",
        "places-title": "Bits per byte by position, with memory and without",
        "quality-title": "Bits per byte of unseen text, by model",
        "learning": "How they learned",
        "learning-note": "Bits per byte of the text that is learned, each run a line. The first tenth is left out.",
        "by-tokens": "Learning by tokens",
        "by-time": "Learning by time",
        "by-operations": "Learning by operations",
        "cost": "Cost against length",
        "cost-note": "Time of a token while one stream is read, after so many tokens. A flat line goes on for ever.",
        "cost-title": "Time of a token by how many were read before",
        "costs": "Sizes and speeds",
        "costs-note": "Reading and decoding: one stream, measured in turns after training, means of {rounds} rounds.",
        "probe": "Probe: {name}",
        "probe-note": "Each model was also trained on this generated task, for a quarter as long as on the text. "
        "Accuracy by {mark}, means over seeds.",
        "probe-title": "Accuracy of {name} by {mark}",
        "runs": "Every run",
        "terms": "The terms",
        "table": "The same as a table",
        "model": "model",
        "run": "run",
        "carried": "its own memory",
        "reset": "emptied every {chunk}",
        "other": "another text's",
        "gain": "memory saves",
        "interval": "interval",
        "bits": "bits per byte",
        "before": "tokens read before",
        "thousand-tokens": "thousand tokens learned",
        "minutes-axis": "minutes of training",
        "operations": "trillion operations",
        "microseconds": "microseconds a token",
        "accuracy": "accuracy",
        "mark-distance": "distance in tokens",
        "mark-depth": "depth in percent of the text",
        "mark-nesting": "operations within one another",
        "mark-assignments": "assignments that lead to the answer",
        "parameters": "parameters",
        "memory": "bytes a session",
        "reach": "reach in tokens",
        "unbounded": "unbounded",
        "training-speed": "learning, tokens/s",
        "reading-speed": "reading, tokens/s",
        "decoding-speed": "decoding, tokens/s",
        "learned": "tokens learned",
        "updates": "updates",
        "best-step": "best update",
        "time": "minutes",
        "part": "part of the run",
        "failed": "failed: {why}",
        "data": "Text",
        "held-out": "Held out",
        "tokenizer": "Tokenizer",
        "batches": "An update",
        "batches-text": "{lanes} streams of {chunk} tokens",
        "fields": "Fields that were set",
        "defaults": "none; all have their defaults",
        "machine": "Machine",
        "topic-quality": "Quality",
        "topic-far": "Far into a text, from {about} tokens on",
        "topic-memory": "What memory saves",
        "topic-bytes": "Small memory",
        "topic-training": "Learning speed",
        "topic-reading": "Reading speed",
        "topic-decoding": "Decoding speed",
        "topic-probe": "{about}",
        "ahead": "Take {best}, {value}; next is {second}.",
        "tie": "A tie between {best}: their intervals overlap.",
        "tie-behind": "A tie between {best}: their intervals overlap. Surely behind {first}: {rest}.",
        "one-seed": "{best} had the best figure, {value}, before {second}; but one seed cannot decide.",
        "nothing": "There is nothing to compare with.",
        "helps-some": "Shown for {best}; not shown for {rest}.",
        "helps-all": "Shown for {best}.",
        "helps-none": "Not shown for any: {rest}.",
        "memory-one-seed": "{rest}; but one seed cannot decide.",
        "failure": "{model} failed with seed {seed}: {why}. It is left out of what is said above.",
        "failure-probe": "{model} failed with seed {seed} on {probe}: {why}. It is left out of what is said above.",
        "more-seeds": "With more seeds, for example --seeds 0,1,2, quality can be decided.",
    },
    "zh": {
        "lang": "zh-CN",
        "eyebrow": "Everlong · 模型比较",
        "title": "什么用途选什么模型",
        "lead": "{models} 学习同一份文本（{tokens}，{tokenizer}），每次 {budget}，{seeds}；"
        "然后各读 {n_bytes} 字节谁都没见过的文本。",
        "minutes": "{n:g} 分钟",
        "steps": "{n:,} 次更新",
        "trillions": "{n:g} 万亿次运算",
        "seed": "随机种子 {seeds}",
        "seeds": "随机种子 {seeds}",
        "tokens": "{n:,} 个词元",
        "list": "、",
        "and": " 和 ",
        "named": "{name}（{value}）",
        "verdict": "什么用途选什么",
        "rule": "判定规则：每个指标对每个种子（或每轮测速）有一个值，区间是均值的 95 % 置信区间（学生 t 分布）。"
        "一个模型的区间与其他模型都不重叠才算领先，否则算平手。只有一个种子就没有区间，不能下结论。"
        "字节数是数出来的，没有误差。",
        "quality": "质量",
        "quality-note": "未见过文本的每字节比特数（记忆一直保留），越少越好。圆点是各个种子，横条是均值的区间。",
        "places": "沿着文档",
        "places-note": "按之前已读词元数统计的每字节比特数，取各种子的均值。"
        "实线：带着记忆。虚线：每 {chunk} 个词元清空记忆。",
        "places-title": "按位置的每字节比特数，有记忆与无记忆",
        "quality-title": "各模型在未见过文本上的每字节比特数",
        "learning": "学习过程",
        "learning-note": "所学文本的每字节比特数，每次训练一条线。开头十分之一略去。",
        "by-tokens": "按词元数的学习曲线",
        "by-time": "按时间的学习曲线",
        "by-operations": "按运算次数的学习曲线",
        "cost": "开销与长度",
        "cost-note": "读一条流时，读过若干词元之后每个词元所用的时间：平线表示再长也一样快。",
        "cost-title": "按已读词元数统计的每词元时间",
        "costs": "大小与速度",
        "costs-note": "阅读与生成：训练后对单条流轮流测量，取 {rounds} 轮的均值。",
        "probe": "探测任务：{name}",
        "probe-note": "每个模型还单独学习了这个生成任务，时间是文本的四分之一。按{mark}统计正确率，取各种子的均值。",
        "probe-title": "{name} 按{mark}的正确率",
        "runs": "每次训练",
        "terms": "比较条件",
        "table": "以表格显示",
        "model": "模型",
        "run": "训练",
        "carried": "自己的记忆",
        "reset": "每 {chunk} 清空",
        "other": "别的文本的记忆",
        "gain": "记忆节省",
        "interval": "区间",
        "bits": "每字节比特数",
        "before": "之前已读词元数",
        "thousand-tokens": "已学词元（千）",
        "minutes-axis": "训练分钟数",
        "operations": "运算次数（万亿）",
        "microseconds": "每词元微秒数",
        "accuracy": "正确率",
        "mark-distance": "相隔词元数",
        "mark-depth": "深度（文本的百分比）",
        "mark-nesting": "运算嵌套层数",
        "mark-assignments": "通向答案的赋值次数",
        "parameters": "参数量",
        "memory": "每会话字节数",
        "reach": "可及词元数",
        "unbounded": "不限",
        "training-speed": "学习，词元/秒",
        "reading-speed": "阅读，词元/秒",
        "decoding-speed": "生成，词元/秒",
        "learned": "已学词元",
        "updates": "更新次数",
        "best-step": "最佳更新",
        "time": "分钟",
        "part": "训练进度",
        "failed": "失败：{why}",
        "data": "文本",
        "held-out": "留出文本",
        "tokenizer": "分词器",
        "batches": "一次更新",
        "batches-text": "{lanes} 条流，各 {chunk} 个词元",
        "fields": "改动的设置",
        "defaults": "无，全部用默认值",
        "machine": "机器",
        "topic-quality": "质量",
        "topic-far": "长文本（第 {about} 个词元以后）",
        "topic-memory": "记忆节省的比特",
        "topic-bytes": "记忆占用小",
        "topic-training": "学习速度",
        "topic-reading": "阅读速度",
        "topic-decoding": "生成速度",
        "topic-probe": "{about}",
        "ahead": "选 {best}，{value}；其次是 {second}。",
        "tie": "{best}平手：区间重叠。",
        "tie-behind": "{best}平手：区间重叠。确定落后于 {first} 的有：{rest}。",
        "one-seed": "{best} 的数值最好，{value}，其次是 {second}；但只有一个种子，不能下结论。",
        "nothing": "没有可比的对象。",
        "helps-some": "{best}确有节省；{rest}未能证实。",
        "helps-all": "{best}确有节省。",
        "helps-none": "都未能证实：{rest}。",
        "memory-one-seed": "{rest}；但只有一个种子，不能下结论。",
        "failure": "{model} 用种子 {seed} 训练失败：{why}。上面的结论不含它。",
        "failure-probe": "{model} 用种子 {seed} 学习 {probe} 失败：{why}。上面的结论不含它。",
        "more-seeds": "多用几个种子（例如 --seeds 0,1,2）才能判定质量。",
    },
}

UNITS: dict[Language, dict[str, str]] = {
    "en": {"bits": "{:z.3f} bits per byte", "speed": "{:,.0f} tokens/s", "part": "{:.1%}"},
    "zh": {"bits": "每字节 {:z.3f} 比特", "speed": "{:,.0f} 词元/秒", "part": "{:.1%}"},
}

CJK = ("\u3400", "\u9fff")


def language_of(text: str) -> Language:
    """Chinese where most letters are Chinese characters, else English.

    >>> language_of("从前有一位船长 ahoy"), language_of("Once upon a time 从前")
    ('zh', 'en')
    """
    letters = [letter for letter in text if letter.isalpha()]
    chinese = sum(CJK[0] <= letter <= CJK[1] for letter in letters)
    return "zh" if 2 * chinese > len(letters) else "en"


def summary(figures: Figures, language: Language) -> list[tuple[str, str]]:
    """What the figures allow to say: topic and sentence, then the failures and a hint, without a topic."""
    words = WORDS[language]
    findings = conclude(figures)
    said = [
        (words[f"topic-{finding.topic}"].format(about=finding.about), sentence(finding, language))
        for finding in findings
    ]
    said += [("", _failure(run, language)) for run in figures.failed]
    if any(finding.topic == "quality" and finding.outcome == "one-seed" for finding in findings):
        said.append(("", words["more-seeds"]))
    return said


def sentence(finding: Finding, language: Language) -> str:
    """A finding in words."""
    words = WORDS[language]

    def told(names: Sequence[str]) -> str:
        values = {name: quantity(finding, finding.values[name], language) for name in names}
        return words["list"].join(words["named"].format(name=name, value=value) for name, value in values.items())

    rest = [name for name in finding.values if name not in finding.best]
    if finding.topic == "memory" and finding.outcome != "nothing":
        key = "memory-one-seed"
        if finding.outcome == "helps":
            key = f"helps-{'none' if not finding.best else 'some' if rest else 'all'}"
        return words[key].format(best=told(finding.best), rest=told(rest))
    if finding.outcome == "nothing":
        return words["nothing"]
    if finding.outcome == "tie":
        return words["tie-behind" if rest else "tie"].format(
            first=finding.best[0], best=told(finding.best), rest=told(rest)
        )
    (best,) = finding.best
    # Values are in the order in which models were named, so the next best has to be looked for.
    value = finding.values[best].mean
    second = min(rest, key=lambda name: abs(finding.values[name].mean - value))
    told_best = quantity(finding, finding.values[best], language)
    return words[finding.outcome].format(best=best, value=told_best, second=told([second]))


def quantity(finding: Finding, value: Interval, language: Language) -> str:
    """A figure with its unit."""
    if finding.topic == "bytes":
        return bytes_text(round(value.mean))
    unit: Mapping[str, str] = {"quality": "bits", "far": "bits", "memory": "bits", "probe": "part"}
    return UNITS[language][unit.get(finding.topic, "speed")].format(value.mean)


def _failure(run: RunFigures, language: Language) -> str:
    key = "failure-probe" if run.probe else "failure"
    return WORDS[language][key].format(model=run.model, seed=run.seed, probe=run.probe, why=run.failure)
