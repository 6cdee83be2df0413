%% SPDX-License-Identifier: Apache-2.0
%% @doc Python code that each new context runs before it serves: helper
%% functions, warmed caches, settings of libraries.
%%
%% It runs in the context's namespace after its imports, in every helper that is
%% started from then on: of pools, of `py_context:new/1', after a crash, and by a
%% renewal.  Contexts that run stay as they are (`py_context_router:reload_pool/1'
%% renews them).  Where it raises, the context does not start.  The option
%% `preload_code' of contexts and pools does the same for those alone.
-module(py_preload).

-export([set_code/1, get_code/0, clear_code/0, has_preload/0]).

%% @doc From now on each new context runs this code; it replaces what was set.
-spec set_code(unicode:chardata()) -> ok | {error, {invalid, code, term()} | not_started}.
set_code(Code) ->
    case py_startup:valid_code(Code) of
        {ok, Text} -> py_startup:set_code(Text);
        error -> {error, {invalid, code, Code}}
    end.

%% @doc The code, or `undefined' where there is none.
-spec get_code() -> binary() | undefined.
get_code() ->
    case py_startup:code() of
        none -> undefined;
        Code -> Code
    end.

%% @doc From now on new contexts run none.
-spec clear_code() -> ok | {error, not_started}.
clear_code() ->
    py_startup:clear_code().

%% @doc Is there any?
-spec has_preload() -> boolean().
has_preload() ->
    py_startup:code() =/= none.
