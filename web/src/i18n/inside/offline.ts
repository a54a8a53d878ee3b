/** The page that is one file. */
import { catalogue } from "../catalogue";

export const offline = catalogue(
  {
    pageTitle: "Inside {model}",
    aboutPage: "One file, made by vitscope inspect: everything is in it, nothing is loaded.",
    notInPage: "This page does not hold {key}. Write it again with vitscope inspect, which names what it leaves out.",
    broken: "This page is damaged: {key} cannot be read.",
    leftOut: "What is not in this page",
    emptyPage: "This page holds no model. It is the template that vitscope inspect fills.",
    theme: "Light or dark",
    switchLanguage: "中文",
    inputPicture: "The picture that went in",
  },
  {
    pageTitle: "{model} 的内部",
    aboutPage: "由 vitscope inspect 生成的单个文件：一切都在其中，不加载任何内容。",
    notInPage: "本页不含 {key}。可用 vitscope inspect 重新生成，它会列出未包含的内容。",
    broken: "本页已损坏：无法读取 {key}。",
    leftOut: "本页未包含的内容",
    emptyPage: "本页没有模型。它是供 vitscope inspect 填充的模板。",
    theme: "浅色或深色",
    switchLanguage: "English",
    inputPicture: "输入的图片",
  },
);
