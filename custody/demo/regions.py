"""Places synthetic people live in, with the area codes of GB/T 2260, and their streets."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A district.

    Attributes:
        code: The six digits a resident ID issued there begins with.
        name: Province, city and district as an address writes them.
    """

    code: str
    name: str


# 620201 is a city without districts; published tables stumble over it.
REGIONS: Final = tuple(
    Region(code=code, name=name)
    for code, name in (
        ("110105", "北京市朝阳区"),
        ("120101", "天津市和平区"),
        ("130104", "河北省石家庄市桥西区"),
        ("210202", "辽宁省大连市中山区"),
        ("230102", "黑龙江省哈尔滨市道里区"),
        ("310115", "上海市浦东新区"),
        ("320106", "江苏省南京市鼓楼区"),
        ("330106", "浙江省杭州市西湖区"),
        ("340104", "安徽省合肥市蜀山区"),
        ("350203", "福建省厦门市思明区"),
        ("360102", "江西省南昌市东湖区"),
        ("370202", "山东省青岛市市南区"),
        ("410105", "河南省郑州市金水区"),
        ("420106", "湖北省武汉市武昌区"),
        ("430102", "湖南省长沙市芙蓉区"),
        ("440106", "广东省广州市天河区"),
        ("440305", "广东省深圳市南山区"),
        ("450103", "广西壮族自治区南宁市青秀区"),
        ("500103", "重庆市渝中区"),
        ("510107", "四川省成都市武侯区"),
        ("530102", "云南省昆明市五华区"),
        ("610113", "陕西省西安市雁塔区"),
        ("620201", "甘肃省嘉峪关市雄关区"),
        ("650102", "新疆维吾尔自治区乌鲁木齐市天山区"),
    )
)

STREETS: Final = (
    "人民路",
    "中山路",
    "解放大道",
    "建设街",
    "和平里",
    "文化东路",
    "青年路",
    "滨江大道",
    "学府路",
    "湖滨南路",
)
